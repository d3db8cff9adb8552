"""Losses that teach the state after a step to tell the next one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from easyrec.batch import Seq
from easyrec.modules.sequence._encoder import age


def next_step_loss(states: Tensor, steps: Seq) -> Tensor | None:
    """``mean(-log sigmoid(h_l . s_(l+1)) - log sigmoid(-h_l . s'))`` over all steps that another follows.

    s' is a step of another row, drawn at random.

    Shape:
        states: (N, D), as wide as the steps
        output: scalar; None where no step is followed by one, or all are of one row

    Source:
        Zhou et al., "Deep Interest Evolution Network", AAAI 2019, eq. (6), with the inner product as sigma.
    """
    followed = torch.nonzero(age(steps)).squeeze(1)
    others = elsewhere(steps, steps.rows.index_select(0, followed))
    if others is None:
        return None
    state = states.index_select(0, followed).float()
    right = (state * steps.values.index_select(0, followed + 1).float()).sum(1)
    wrong = (state * steps.values.index_select(0, others).float()).sum(1)
    return -(F.logsigmoid(right) + F.logsigmoid(-wrong)).mean()


def elsewhere(steps: Seq, rows: Tensor) -> Tensor | None:
    """For each of `rows` a step of another row, uniformly drawn by torch's generator; None where one cannot be.

    Shape:
        rows: (n,), output: (n,)
    """
    starts = steps.offsets.index_select(0, rows)
    lengths = steps.offsets.index_select(0, rows + 1) - starts
    choices = steps.rows.shape[0] - lengths
    if not rows.shape[0] or not choices.all():
        return None
    drawn = (torch.rand(rows.shape[0], dtype=torch.float64, device=rows.device) * choices).long()
    return torch.where(drawn < starts, drawn, drawn + lengths)
