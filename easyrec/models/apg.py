"""`apg`: an MLP whose weights are made for each row, alone or beside the cross layers of DCN-V2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from typing_extensions import Self

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.adaptive import AdaptiveConfig, AdaptiveMLP
from easyrec.modules.cross import Cross, CrossConfig
from easyrec.modules.mlp import MLPConfig
from feature_generator.config import fault


class Config(AdaptiveConfig, MLPConfig, ModelConfig):
    """Config of `apg`."""

    type: Literal["apg"] = "apg"
    cross_layers: int = Field(0, ge=0)
    """Cross layers of `dcn_v2` beside the MLP."""

    @model_validator(mode="after")
    def _wide_is_not_narrow(self) -> Self:
        if self.wide is not None and self.wide < self.rank:
            raise fault(f"'wide' must be at least 'rank', but {self.wide} < {self.rank}", "wide")
        return self

    def uses(self) -> dict[str, GroupUse]:
        """All inputs of `deep`, and of `condition` where it is there."""
        return {"deep": GroupUse(), "condition": GroupUse(optional=True, about="user")}


class APG(Model):
    """Logit = w . [cross(x), MLP(x; c)] + b; each layer of the MLP is ``act(U S(c) V h + b)``.

    S is made for every row: of the group `condition`, or where there is none of the layer's own input h.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Yan et al., "APG: Adaptive Parameter Generation Network for Click-Through Rate Prediction", NeurIPS 2022, section 3.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        width = self.width()
        self.conditioned = "condition" in self.layouts
        condition = self.width("condition") if self.conditioned else None
        self.deep = AdaptiveMLP(width, condition, config, config)
        self.cross = Cross(width, CrossConfig(cross_layers=config.cross_layers)) if config.cross_layers else None
        self.head = Head(tasks, self.deep.out + (width if self.cross is not None else 0))

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        flat = self.flat(x)  # (B, width)
        deep = self.deep(flat, self.flat(x, "condition") if self.conditioned else None)
        if self.cross is None:
            return self.head(deep)
        return self.head(torch.cat([self.cross(flat), deep.to(flat.dtype)], dim=1))
