"""`dcn_v2`: explicit crosses of bounded degree, and an MLP."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator
from torch import nn
from typing_extensions import Self

from easyrec.config.model import ModelConfig
from easyrec.models._crossed import Crossed
from easyrec.modules.cross import Cross, CrossConfig
from easyrec.modules.mlp import MLPConfig


class Config(MLPConfig, CrossConfig, ModelConfig):
    """Config of `dcn_v2`; `cross` takes no keys of the MLP."""

    type: Literal["dcn_v2"] = "dcn_v2"
    structure: Literal["parallel", "stacked", "cross"] = "parallel"
    """The MLP beside the cross layers, on top of them, or left out."""

    @model_validator(mode="after")
    def _cross_has_no_mlp(self) -> Self:
        if self.structure == "cross":
            self.refuse(MLPConfig.model_fields, "is a key of the MLP, which 'structure: cross' leaves out")
        return self


class DCNv2(Crossed):
    """Logit = w . [cross(x), MLP(x)] (parallel), w . MLP(cross(x)) (stacked) or w . cross(x), plus a bias.

    x holds all embeddings and dense inputs of `deep`, of any dims.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Wang et al., "DCN V2", WWW 2021, section 3 and figure 1.
    """

    def crosses(self, width: int) -> nn.Module:
        """The cross layers."""
        return Cross(width, self.config)
