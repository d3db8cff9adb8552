"""`dcn`: crosses by a vector per layer, and an MLP."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from torch import nn
from typing_extensions import Self

from easyrec.config.model import ModelConfig
from easyrec.models._crossed import Crossed
from easyrec.modules.cross import VectorCross
from easyrec.modules.mlp import MLPConfig


class Config(MLPConfig, ModelConfig):
    """Config of `dcn`; `cross` takes no keys of the MLP."""

    type: Literal["dcn"] = "dcn"
    structure: Literal["parallel", "stacked", "cross"] = "parallel"
    """The MLP beside the cross layers, on top of them, or left out."""
    cross_layers: int = Field(3, gt=0)
    """Number of cross layers; layer l adds crosses of degree l + 1."""

    @model_validator(mode="after")
    def _cross_has_no_mlp(self) -> Self:
        if self.structure == "cross":
            self.refuse(MLPConfig.model_fields, "is a key of the MLP, which 'structure: cross' leaves out")
        return self


class DCN(Crossed):
    """Logit = w . [cross(x), MLP(x)] (parallel), w . MLP(cross(x)) (stacked) or w . cross(x), plus a bias.

    x holds all embeddings and dense inputs of `deep`, of any dims.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Wang et al., "Deep & Cross Network for Ad Click Predictions", ADKDD 2017, eq. (3) to (5).
    """

    def crosses(self, width: int) -> nn.Module:
        """The cross layers."""
        return VectorCross(width, self.config.cross_layers)
