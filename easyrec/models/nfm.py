"""`nfm`: an MLP over the products of all pairs of fields, summed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.activation import BatchNorm
from easyrec.modules.dropout import Dropout
from easyrec.modules.fm import BiInteraction
from easyrec.modules.mlp import MLP, MLPConfig


class Config(MLPConfig, ModelConfig):
    """Config of `nfm`."""

    type: Literal["nfm"] = "nfm"
    pooled_batch_norm: bool = False
    """Normalise the summed products over the batch."""
    pooled_dropout: float = Field(0.0, ge=0.0, lt=1.0)
    """Probability of zeroing one of them while training."""

    def uses(self) -> dict[str, GroupUse]:
        """Embeddings of equal dims and first-order weights of `deep`."""
        return {"deep": GroupUse(first_order=True, equal_dims=True)}


class NFM(Model):
    """Logit = first-order weights + MLP([sum_{i<j} e_i * e_j, x]), with dense inputs x.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        He and Chua, "Neural Factorization Machines", SIGIR 2017, eq. (2) to (7).
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.pairs = nn.Sequential(BiInteraction())
        if config.pooled_batch_norm:
            self.pairs.append(BatchNorm(self.dim()))
        if config.pooled_dropout:
            self.pairs.append(Dropout(config.pooled_dropout))
        self.deep = MLP(self.dim() + layouts["deep"].dense_width, config)
        self.head = Head(tasks, self.deep.out, terms=1)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        pooled = self.pairs(self.fields(x))  # (B, D)
        deep = self.deep(torch.cat([pooled, x.dense("deep")], dim=1))  # (B, hidden[-1])
        return self.head(deep, self.linear(x))
