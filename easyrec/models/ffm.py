"""`ffm`: a factorization machine in which an id has an embedding for each other field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.pairs import FieldAwareProducts


class Config(ModelConfig):
    """Config of `ffm`; `embedding_dim` is the dim of each of an id's F - 1 embeddings."""

    type: Literal["ffm"] = "ffm"

    def uses(self) -> dict[str, GroupUse]:
        """Field-aware embeddings of equal dims, and first-order weights, of `deep`."""
        return {"deep": GroupUse(first_order=True, equal_dims=True, pairs=True)}


class FFM(Model):
    """Logit = bias + first-order weights + sum_{i<j} <v_ij, v_ji>, where v_ij is the embedding of field i for field j.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Juan et al., "Field-aware Factorization Machines for CTR Prediction", RecSys 2016, eq. (4).
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.num_pairs()
        self.products = FieldAwareProducts(self.num_fields())
        self.head = Head(tasks, 0, terms=2)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        products = self.products(self.paired_fields(x))  # (B, F (F - 1) / 2)
        return self.head(None, self.linear(x), products.sum(dim=1, keepdim=True))
