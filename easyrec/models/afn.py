"""`afn`: products of fields to learned powers under an MLP; with a second MLP beside it AFN+."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.logarithmic import LogarithmicLayer
from easyrec.modules.mlp import MLP, MLPConfig


class Config(MLPConfig, ModelConfig):
    """Config of `afn`; the keys of an MLP are those of the MLP over the neurons."""

    type: Literal["afn"] = "afn"
    neurons: int = Field(600, gt=0)
    """Products of fields that are learned."""
    ensemble: MLPConfig | None = None
    """An MLP over embeddings of its own, for AFN+."""

    def uses(self) -> dict[str, GroupUse]:
        """Embeddings of equal dims of `deep`; for `ensemble` tables of its own of the same features."""
        own = {"ensemble": GroupUse(like="deep", own=True)} if self.ensemble is not None else {}
        return {"deep": GroupUse(equal_dims=True), **own}


class AFN(Model):
    """Logit = w . MLP([exp(sum_f w_nf log |e_f|) for all n, x]), with `ensemble` plus u . MLP'([e', x]).

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Cheng et al., "Adaptive Factorization Network: Learning Adaptive-Order Feature Interactions", AAAI 2020,
        eq. (7)-(11).
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.logarithmic = LogarithmicLayer(self.num_fields(), config.neurons)
        self.deep = MLP(config.neurons * self.dim() + self.layouts["deep"].dense_width, config)
        self.beside = MLP(self.width("ensemble"), config.ensemble) if config.ensemble is not None else None
        self.head = Head(tasks, self.deep.out + (self.beside.out if self.beside is not None else 0))

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        products = self.logarithmic(self.fields(x))  # (B, D * neurons)
        if self.layouts["deep"].dense:
            products = torch.cat([products, x.dense("deep")], dim=1)
        hidden = self.deep(products)  # (B, hidden[-1])
        if self.beside is not None:
            hidden = torch.cat([hidden, self.beside(self.flat(x, "ensemble"))], dim=1)
        return self.head(hidden)
