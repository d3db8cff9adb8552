"""`attention`: where the student looks in a sequence, as the teacher does."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from easyrec.losses._loss import mean
from easyrec.losses._sessions import Sessions
from easyrec.losses.distill import LayerLossConfig
from easyrec.losses.distill._loss import LayerLoss


class Config(LayerLossConfig):
    """Config of `attention`; both layers give one score per step of a sequence, before any softmax."""

    type: Literal["attention"] = "attention"
    temperature: float = Field(1.0, gt=0.0)
    """T: what scores are divided by."""


class Attention(LayerLoss):
    """``KL(softmax(b / T) || softmax(a / T))`` over the steps of a row, mean over rows that have two or more.

    a and b are the scores of the student's and of the teacher's steps. Of unequal numbers of steps the newest are
    compared.

    Source:
        Zagoruyko and Komodakis, "Paying more attention to attention", ICLR 2017, with the softmax of target attention in
        the place of their norm.
    """

    steps = True

    def forward(
        self,
        mine: Tensor,
        theirs: Tensor,
        weights: Tensor | None = None,
        lengths: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """The weighted mean over rows."""
        assert lengths is not None
        here, there = lengths
        common = torch.minimum(here, there)
        rows = torch.arange(len(common), device=common.device).repeat_interleave(common)
        place = torch.arange(len(rows), device=rows.device) - (common.cumsum(0) - common)[rows]
        ours, others = (
            values[(upto - common)[rows] + place] / self.config.temperature
            for values, upto in ((mine, here.cumsum(0)), (theirs, there.cumsum(0)))
        )
        kept = common[rows] > 1
        rows, ours, others = rows[kept], ours[kept], others[kept]
        if not len(rows):
            return mine.sum() * 0.0
        sessions, ones = Sessions(rows, ours), torch.ones_like(ours)
        logs = others - sessions.logsumexp(others, ones)[sessions.of_rows]
        guess = ours - sessions.logsumexp(ours, ones)[sessions.of_rows]
        own = None if weights is None else weights[common > 1]
        return mean(sessions.sum(logs.exp() * (logs - guess)), own)
