"""`dcn`: crosses by a vector per layer, and an MLP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config.model import ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.cross import VectorCross
from easyrec.modules.mlp import MLP, MLPConfig


class Config(MLPConfig, ModelConfig):
    """Config of `dcn`; `cross` takes no keys of the MLP."""

    type: Literal["dcn"] = "dcn"
    structure: Literal["parallel", "stacked", "cross"] = "parallel"
    """The MLP beside the cross layers, on top of them, or left out."""
    cross_layers: int = Field(3, gt=0)
    """Number of cross layers; layer l adds crosses of degree l + 1."""


class DCN(Model):
    """Logit = w . [cross(x), MLP(x)] (parallel), w . MLP(cross(x)) (stacked) or w . cross(x), plus a bias.

    x holds all embeddings and dense inputs of `deep`, of any dims.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Wang et al., "Deep & Cross Network for Ad Click Predictions", ADKDD 2017, eq. (3) to (5).
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        width = self.width()
        self.cross = VectorCross(width, config.cross_layers)
        self.deep = None if config.structure == "cross" else MLP(width, config)
        if self.deep is not None:
            width = self.deep.out + (width if config.structure == "parallel" else 0)
        self.head = Head(tasks, width)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        flat = self.flat(x)  # (B, width)
        crossed = self.cross(flat)  # (B, width)
        if self.deep is None:
            return self.head(crossed)
        if self.config.structure == "stacked":
            return self.head(self.deep(crossed))
        return self.head(torch.cat([crossed, self.deep(flat).to(crossed.dtype)], dim=1))
