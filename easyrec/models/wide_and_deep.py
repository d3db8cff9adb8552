"""`wide_and_deep`: a linear model beside an MLP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.mlp import MLP, MLPConfig


class Config(MLPConfig, ModelConfig):
    """Config of `wide_and_deep`."""

    type: Literal["wide_and_deep"] = "wide_and_deep"

    def uses(self) -> dict[str, GroupUse]:
        """Embeddings of `deep`; first-order weights of `wide`, by default of the same features."""
        return {"deep": GroupUse(), "wide": GroupUse(fields=False, first_order=True, like="deep")}


class WideAndDeep(Model):
    """Logit = bias + linear(wide) + MLP(deep).

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Cheng et al., "Wide & Deep Learning", DLRS 2016, eq. (3).
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.deep = MLP(self.width(), config)
        self.head = Head(tasks, self.deep.out, terms=1)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        return self.head(self.deep(self.flat(x)), self.linear(x, "wide"))
