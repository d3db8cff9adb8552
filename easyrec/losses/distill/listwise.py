"""`listwise`: the teacher's softmax over the rows of a list."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from easyrec.losses._sessions import Sessions
from easyrec.losses.distill import ListLossConfig
from easyrec.losses.distill._loss import ScoreLoss


class Config(ListLossConfig):
    """Config of `listwise`."""

    type: Literal["listwise"] = "listwise"


class Listwise(ScoreLoss):
    """``T^2 KL(softmax(t / T) || softmax(z / T))`` over the rows of a list, mean over lists.

    A row of weight w counts as w rows would.

    Source:
        Cao et al., "Learning to rank: from pairwise approach to listwise approach" (ListNet), ICML 2007, with the
        teacher's scores in the place of labels.
    """

    def forward(
        self, logits: Tensor, wanted: Tensor, weights: Tensor | None = None, codes: Tensor | None = None
    ) -> Tensor:
        """The mean over lists; 0 where there are none."""
        weights = torch.ones_like(wanted) if weights is None else weights
        rows = weights.nonzero().squeeze(1)
        if not len(rows):
            return logits.sum() * 0.0
        logits, wanted, weights = logits[rows], wanted[rows], weights[rows]
        sessions = Sessions(None if codes is None else codes[rows], wanted)
        temperature: float = self.config.temperature
        student, teacher = logits / temperature, wanted / temperature
        ours = student - sessions.logsumexp(student, weights)[sessions.of_rows]
        theirs = teacher - sessions.logsumexp(teacher, weights)[sessions.of_rows]
        value: Tensor = (weights * theirs.exp() * (theirs - ours)).sum() / sessions.number
        return value * temperature**2
