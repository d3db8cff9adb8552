"""Rows of a batch by session: sums over each, and its pairs."""

from __future__ import annotations

import torch
from torch import Tensor

from easyrec.losses._loss import Groups, Loss, mean


class Sessions:
    """The sessions of B rows.

    Args:
        codes: (B,) int64, equal where rows are of one session; None: all are.
        rows: (B,) anything of the rows, which tells how many there are and where.
    """

    def __init__(self, codes: Tensor | None, rows: Tensor) -> None:
        if codes is None:
            self.of_rows, self.number = torch.zeros_like(rows, dtype=torch.int64), min(len(rows), 1)
        else:
            found, self.of_rows = torch.unique(codes, return_inverse=True)
            self.number = len(found)

    def sum(self, values: Tensor) -> Tensor:
        """(G,), the sums over each session of the (B,) values."""
        return values.new_zeros(self.number).index_add(0, self.of_rows, values)

    def logsumexp(self, scores: Tensor, weights: Tensor) -> Tensor:
        """(G,), ``log sum_i w_i exp(s_i)`` over each session; very low where all its weights are 0.

        Args:
            scores: (B,).
            weights: (B,), not negative.
        """
        counted = scores.detach().masked_fill(weights == 0, -torch.inf)
        top = scores.new_full((self.number,), -torch.inf).scatter_reduce(0, self.of_rows, counted, "amax")
        top = top.clamp_min(torch.finfo(scores.dtype).min / 2)
        terms = torch.exp((scores - top[self.of_rows]).clamp_max(0.0)) * weights
        return top + torch.log(self.sum(terms).clamp_min(torch.finfo(scores.dtype).tiny))


class SessionLoss(Loss):
    """A loss over sessions; a row of weight w counts as w rows would, so that one of weight 0 is not there."""

    def forward(
        self, logits: Tensor, labels: Tensor, weights: Tensor | None = None, groups: Groups | None = None
    ) -> Tensor:
        """The loss of the batch; 0 where nothing can be compared."""
        codes = None if self.config.by is None else (groups or {})[self.config.by]
        logits, weights = logits.float(), torch.ones_like(labels) if weights is None else weights
        rows = weights.nonzero().squeeze(1)
        if rows.shape[0] < labels.shape[0]:
            logits, labels, weights = logits[rows], labels[rows], weights[rows]
            codes = None if codes is None else codes[rows]
        if not labels.shape[0]:
            return logits.sum()
        return self.of_batch(logits, labels, weights, codes)

    def of_batch(self, logits: Tensor, labels: Tensor, weights: Tensor, codes: Tensor | None) -> Tensor:
        """The loss of B > 0 rows.

        Args:
            logits: (B,), or (B, C) for a loss with several outputs, float32.
            labels: (B,) float32.
            weights: (B,), above 0.
            codes: (B,) int64, equal where rows are of one session; None: all are.
        """
        raise TypeError(f"{type(self).__name__} must define of_batch")

    def predict(self, logits: Tensor) -> Tensor:
        """(B,), for binary tasks the sigmoid, else the logit itself; it ranks, and its size means nothing."""
        return torch.sigmoid(logits.float()) if self.task.type == "binary" else logits.float()


class PairLoss(SessionLoss):
    """A weighted mean over the pairs of rows of one session whose first has the greater label.

    A pair weighs the product of its rows' weights.
    """

    def of_batch(self, logits: Tensor, labels: Tensor, weights: Tensor, codes: Tensor | None) -> Tensor:
        """The mean; 0 where there are no pairs."""
        better, worse = pairs(labels, codes, self.config.max_pairs)
        values = self.of_pairs(logits.index_select(0, better) - logits.index_select(0, worse))
        return mean(values, self.weigh(better, worse, weights / weights.max()))

    def of_pairs(self, margins: Tensor) -> Tensor:
        """(P,), the loss of each pair from the logit of its better row less that of its worse one."""
        raise TypeError(f"{type(self).__name__} must define of_pairs")

    def weigh(self, better: Tensor, worse: Tensor, weights: Tensor) -> Tensor:
        """(P,), the weight of each pair."""
        return weights[better] * weights[worse]


def pairs(labels: Tensor, codes: Tensor | None, most: int) -> tuple[Tensor, Tensor]:
    """Pairs of rows of one session, the first with the greater label.

    Rows are sorted by session and falling label, so those that a row beats lie side by side: no comparison of all
    with all is made.

    Args:
        labels: (B,).
        codes: (B,) int64, equal where rows are of one session; None: all are.
        most: Pairs to draw at random, with replacement, where there are more.

    Returns:
        (P,) int64 each.
    """
    order = labels.argsort(descending=True, stable=True)
    apart = torch.zeros_like(labels[1:], dtype=torch.bool)  # whether the session ends between two rows
    if codes is not None:
        order = order[codes[order].argsort(stable=True)]
        session = codes[order]
        apart = session[1:] != session[:-1]
    value = labels[order]
    first = _ends(apart | (value[1:] != value[:-1]))  # of the rows that a row beats
    count = _ends(apart) - first
    upto = count.cumsum(0)
    total = int(upto[-1]) if len(upto) else 0
    if total <= most:
        better = torch.arange(len(order), device=order.device).repeat_interleave(count)
        number = torch.arange(total, device=order.device)
    else:
        number = torch.randint(total, (most,), device=order.device)
        better = torch.searchsorted(upto, number, right=True)
    worse = first[better] + number - (upto - count)[better]
    return order[better], order[worse]


def _ends(changed: Tensor) -> Tensor:
    """(B,), the end of the run that each row is in, given whether (B - 1,) a new run begins behind a row."""
    ends = torch.cat([changed.nonzero(), torch.full((1, 1), changed.shape[0], device=changed.device)]).squeeze(1) + 1
    return ends.repeat_interleave(ends.diff(prepend=ends.new_zeros(1)))
