"""`fm`: a factorization machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules import fm


class Config(ModelConfig):
    """Config of `fm`."""

    type: Literal["fm"] = "fm"

    def uses(self) -> dict[str, GroupUse]:
        """Embeddings of equal dims and first-order weights of `deep`."""
        return {"deep": GroupUse(first_order=True, equal_dims=True)}


class FM(Model):
    """Logit = bias + first-order weights + dot products of all pairs of fields.

    Dense inputs have first-order weights alone; give them an `embedding_dim` to make them fields.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Rendle, "Factorization Machines", ICDM 2010, eq. (1).
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.pairs = fm.FM()
        self.head = Head(tasks, 0, terms=2)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        return self.head(None, self.linear(x), self.pairs(self.fields(x)))
