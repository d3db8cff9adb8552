"""`gdcn`: gated crosses of bounded degree, and an MLP."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import nn

from easyrec.config.model import ModelConfig
from easyrec.models._crossed import Crossed
from easyrec.modules.cross import GatedCross
from easyrec.modules.mlp import MLPConfig


class Config(MLPConfig, ModelConfig):
    """Config of `gdcn`."""

    type: Literal["gdcn"] = "gdcn"
    structure: Literal["parallel", "stacked"] = "parallel"
    """The MLP beside the cross layers (GDCN-P), or on top of them (GDCN-S)."""
    cross_layers: int = Field(3, gt=0)
    """Number of cross layers; layer l adds crosses of degree l + 1."""


class GDCN(Crossed):
    """Logit = w . [cross(x), MLP(x)] (parallel) or w . MLP(cross(x)) (stacked), plus a bias.

    x holds all embeddings and dense inputs of `deep`, of any dims.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Wang et al., "Towards Deeper, Lighter and Interpretable Cross Network for CTR Prediction", CIKM 2023.
    """

    def crosses(self, width: int) -> nn.Module:
        """The cross layers."""
        return GatedCross(width, self.config.cross_layers)
