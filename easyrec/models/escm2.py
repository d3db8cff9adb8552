"""`escm2`: ESMM whose conversions also learn from clicked rows, weighed so that they stand for all rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config.model import TaskConfig
from easyrec.layout import GroupLayout
from easyrec.losses._loss import mean
from easyrec.models._funnel import Funnel, FunnelConfig
from easyrec.modules.mlp import MLP, in_float32, linear

IMPUTED = "escm2:imputed"
"""Key of the imputation's logit among the outputs; no name of a task has a colon."""


class Config(FunnelConfig):
    """Config of `escm2`."""

    type: Literal["escm2"] = "escm2"
    risk: Literal["ips", "dr"] = "dr"
    """Counterfactual risk: by inverse propensity, or doubly robust with imputed conversions."""
    risk_weight: float = Field(0.1, gt=0.0)
    """Weight of that risk beside the losses of the tasks."""
    min_propensity: float = Field(0.02, gt=0.0, lt=1.0)
    """Click probabilities below count as this."""


class ESCM2(Funnel):
    """ESMM's outputs; training adds the risk R of the conversion over all rows, clicked (o = 1) or not.

    With the loss e_i of row i by its conversion tower and the click probability p_i, clipped and not moved by R:

    - `ips`: ``R = mean(o_i e_i / p_i)``;
    - `dr`: ``R = mean(d_i + o_i (e_i - d_i) / p_i) + mean(o_i (e_i - d_i)^2 / p_i)``, where d_i is the loss of the same
      tower against a conversion that another tower imputes; the first mean moves the conversion, the second one the
      imputation.

    Shape:
        output: {click: (B,), conversion: (B,), both: (B,)} by the tasks' names, before the sigmoid

    Source:
        Wang et al., "ESCM^2: Entire Space Counterfactual Multi-Task Model", SIGIR 2022, section 4; imputed labels:
        Wang et al., "Doubly Robust Joint Learning for Recommendation on Data Missing Not at Random", ICML 2019.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.by_name = {task.name: task for task in tasks}
        self.imputation = MLP(self.width(), config.tower_of(self.roles.conversion)) if config.risk == "dr" else None
        self.imputed = linear(self.imputation.out, 1) if self.imputation is not None else None

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits; in training also that of the imputed conversion."""
        flat = self.flat(x)  # (B, width)
        found = self.composed(self.logits(self.towers(flat)))
        if self.training and self.imputation is not None and self.imputed is not None:
            found[IMPUTED] = in_float32(self.imputed, self.imputation(flat)).squeeze(1)
        return found

    def auxiliary(
        self, outputs: Mapping[str, Tensor], labels: Mapping[str, Tensor], weights: Tensor | None
    ) -> dict[str, Tensor]:
        """The counterfactual risk."""
        clicked = labels[self.by_name[self.roles.click].label]
        converted = labels[self.by_name[self.roles.conversion].label]
        propensity = torch.sigmoid(outputs[self.roles.click].detach()).clamp_min(self.config.min_propensity)
        inverse = clicked / propensity  # (B,)
        conversion = outputs[self.roles.conversion]
        error = _loss(conversion, converted)
        if self.config.risk == "ips":
            risk = mean(inverse * error, weights)
        else:
            imputed = torch.sigmoid(outputs[IMPUTED])
            assumed = _loss(conversion, imputed.detach())
            learned = error.detach() - _loss(conversion.detach(), imputed)
            risk = mean(assumed + inverse * (error - assumed), weights) + mean(inverse * learned.square(), weights)
        return {**super().auxiliary(outputs, labels, weights), "counterfactual": self.config.risk_weight * risk}


def _loss(logits: Tensor, labels: Tensor) -> Tensor:
    """(B,), the cross-entropy of each row; labels may be probabilities."""
    return F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
