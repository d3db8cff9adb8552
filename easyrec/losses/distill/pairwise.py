"""`pairwise`: of two rows of a list, how sure the teacher is of the better one."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from easyrec.losses._loss import mean
from easyrec.losses._sessions import pairs
from easyrec.losses.distill import ListLossConfig
from easyrec.losses.distill._loss import ScoreLoss


class Config(ListLossConfig):
    """Config of `pairwise`."""

    type: Literal["pairwise"] = "pairwise"
    max_pairs: int = Field(1 << 18, gt=0)
    """Most pairs of a batch; where there are more, as many are drawn at random."""


class Pairwise(ScoreLoss):
    """``T^2 KL(s((t_i - t_j) / T) || s((z_i - z_j) / T))``, mean over the pairs i, j of a list with ``t_i > t_j``.

    A pair weighs the product of its rows' weights.

    Source:
        Burges et al., "Learning to rank using gradient descent", ICML 2005, eq. (3), with the teacher's probabilities
        in the place of known ones.
    """

    def forward(
        self, logits: Tensor, wanted: Tensor, weights: Tensor | None = None, codes: Tensor | None = None
    ) -> Tensor:
        """The mean over pairs; 0 where there are none."""
        rows = torch.arange(len(wanted), device=wanted.device) if weights is None else weights.nonzero().squeeze(1)
        kept = wanted[rows]
        better, worse = pairs(kept, None if codes is None else codes[rows], self.config.max_pairs)
        better, worse = rows[better], rows[worse]
        temperature: float = self.config.temperature
        sure, margins = ((x[better] - x[worse]) / temperature for x in (wanted, logits))
        share = sure.sigmoid()
        values = share * (F.logsigmoid(sure) - F.logsigmoid(margins))
        values = values + (1.0 - share) * (F.logsigmoid(-sure) - F.logsigmoid(-margins))
        return mean(values, None if weights is None else weights[better] * weights[worse]) * temperature**2
