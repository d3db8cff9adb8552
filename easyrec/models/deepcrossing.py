"""`deepcrossing`: residual units over embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Tensor, nn

from easyrec.batch import Embedded
from easyrec.config.model import ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.residual import Residual, ResidualConfig


class Config(ResidualConfig, ModelConfig):
    """Config of `deepcrossing`."""

    type: Literal["deepcrossing"] = "deepcrossing"


class DeepCrossing(Model):
    """Logit = w . R_n(.. R_1([e_1 .. e_F, x])) + b, with residual units R; e and x may have any dims.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Shan et al., "Deep Crossing", KDD 2016.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.units = nn.Sequential(*[Residual(self.width(), units, config) for units in config.hidden])
        self.head = Head(tasks, self.width())

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        return self.head(self.units(self.flat(x)))
