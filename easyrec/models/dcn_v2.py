"""`dcn_v2`: explicit crosses of bounded degree, and an MLP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config.model import ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.cross import Cross, CrossConfig
from easyrec.modules.mlp import MLP, MLPConfig


class Config(MLPConfig, CrossConfig, ModelConfig):
    """Config of `dcn_v2`; `cross` takes no keys of the MLP."""

    type: Literal["dcn_v2"] = "dcn_v2"
    structure: Literal["parallel", "stacked", "cross"] = "parallel"
    """The MLP beside the cross layers, on top of them, or left out."""


class DCNv2(Model):
    """Logit = w . [cross(x), MLP(x)] (parallel), w . MLP(cross(x)) (stacked) or w . cross(x), plus a bias.

    x holds all embeddings and dense inputs of `deep`, of any dims.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Wang et al., "DCN V2", WWW 2021, section 3 and figure 1.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        width = self.width()
        self.cross = Cross(width, config)
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
