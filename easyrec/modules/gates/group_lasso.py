"""`group_lasso`: factors of the numbers of each feature, which a penalty draws to 0 together."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from easyrec.config.model import GatesConfig
from easyrec.modules.gates._gates import Gates


class Config(GatesConfig):
    """Config of `group_lasso`."""

    type: Literal["group_lasso"] = "group_lasso"
    per: Literal["feature", "dim"] = "dim"
    penalty: float = Field(1e-4, ge=0.0)
    """Of the loss, for each feature whose factors are 1."""


class GroupLasso(Gates):
    """``z = w`` with the penalty ``sum_f ||w_f||_2 / sqrt(d_f)``: the factors of a feature shrink together, or not at all.

    The norm is divided by its value where all d_f factors are 1, so that features of all widths are charged alike.

    Source:
        Yuan, Lin, "Model selection and estimation in regression with grouped variables", JRSS B 2006, eq. (2.1), with one
        factor for each number of an input in the place of a coefficient.
    """

    START = 1.0

    def values(self, rows: int | None) -> Tensor:
        """The factors; nothing is drawn."""
        return self.raw

    def strengths(self) -> Tensor:
        """How large each factor is."""
        return self.raw.abs()

    def norms(self) -> Tensor:
        """(U,) the norm of each feature's factors, 1 where they are 1."""
        return torch.sqrt(self.summed(self.raw.square()) / self.sizes + 1e-12)

    def penalty(self) -> Tensor:
        """The sum of the norms."""
        loss: Tensor = self.config.penalty * self.norms().sum()
        return loss

    @torch.no_grad()
    def importance(self) -> dict[str, float]:
        """The norm of each feature's factors."""
        return dict(zip(self.widths, self.norms().tolist(), strict=True))
