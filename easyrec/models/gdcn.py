"""`gdcn`: gated crosses of bounded degree, and an MLP."""

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
from easyrec.modules.cross import GatedCross
from easyrec.modules.mlp import MLP, MLPConfig


class Config(MLPConfig, ModelConfig):
    """Config of `gdcn`."""

    type: Literal["gdcn"] = "gdcn"
    structure: Literal["parallel", "stacked"] = "parallel"
    """The MLP beside the cross layers (GDCN-P), or on top of them (GDCN-S)."""
    cross_layers: int = Field(3, gt=0)
    """Number of cross layers; layer l adds crosses of degree l + 1."""


class GDCN(Model):
    """Logit = w . [cross(x), MLP(x)] (parallel) or w . MLP(cross(x)) (stacked), plus a bias.

    x holds all embeddings and dense inputs of `deep`, of any dims.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Wang et al., "Towards Deeper, Lighter and Interpretable Cross Network for CTR Prediction", CIKM 2023.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        width = self.width()
        self.cross = GatedCross(width, config.cross_layers)
        self.deep = MLP(width, config)
        self.head = Head(tasks, self.deep.out + (width if config.structure == "parallel" else 0))

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        flat = self.flat(x)  # (B, width)
        crossed = self.cross(flat)  # (B, width)
        if self.config.structure == "stacked":
            return self.head(self.deep(crossed))
        return self.head(torch.cat([crossed, self.deep(flat).to(crossed.dtype)], dim=1))
