"""`onn`: an MLP over embeddings and the dot products of field-aware ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.mlp import MLP, MLPConfig
from easyrec.modules.pairs import FieldAwareProducts


class Config(MLPConfig, ModelConfig):
    """Config of `onn`; `embedding_dim` is the dim of each of an id's F embeddings."""

    type: Literal["onn"] = "onn"

    def uses(self) -> dict[str, GroupUse]:
        """Embeddings of `deep`; field-aware ones of equal dims of `pairs`, by default of the same features."""
        return {"deep": GroupUse(), "pairs": GroupUse(equal_dims=True, pairs=True, like="deep")}


class ONN(Model):
    """Logit = w . MLP([e_1 .. e_F, x, (<v_ij, v_ji>)]) + b, with an embedding v_ij of field i for each other field j.

    An operation on an id, its copy or its product with another field, has an embedding of its own.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Yang et al., "Operation-aware Neural Networks for User Response Prediction", Neural Networks 121,
        2020.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        pairs = self.num_pairs("pairs")
        self.products = FieldAwareProducts(self.num_fields("pairs"))
        self.deep = MLP(self.width() + pairs, config)
        self.head = Head(tasks, self.deep.out)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        products = self.products(self.paired_fields(x, "pairs"))  # (B, F (F - 1) / 2)
        return self.head(self.deep(torch.cat([self.flat(x), products], dim=1)))
