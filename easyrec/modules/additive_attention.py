"""Attention whose weights are made of a sum of query and key."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from easyrec.batch import Seq
from easyrec.modules.alike import Padding, in_groups
from easyrec.modules.mlp import linear
from easyrec.modules.sequence._encoder import sum_steps

MOST = 1 << 21
"""Numbers that are made at once of pairs of steps; for the gradient they are made again."""


class AdditiveAttention(nn.Module):
    """``c_l = sum_{j <= l} a_lj x_j`` with ``a_lj = w . sigmoid(q_l + A x_j)``, without a softmax.

    Shape:
        queries: (N, hidden), one for each step; x: (N, width); offsets: (B+1,)
        output: (N, width)

    Source:
        Li et al., "Neural Attentive Session-based Recommendation", CIKM 2017, section 3.3.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.keys, self.score = linear(width, hidden, bias=False), linear(hidden, 1, bias=False)

    def forward(self, queries: Tensor, x: Tensor, offsets: Tensor) -> Tensor:
        """What each step's query finds in it and in older ones."""
        if not x.shape[0]:
            return x
        found: Tensor = in_groups(self._padded, offsets, queries, self.keys(x), x)
        return found

    def newest(self, queries: Tensor, x: Tensor, steps: Seq) -> Tensor:
        """(B, width) float32, what one query per row, (B, hidden), finds in all its steps."""
        scores = self.score(torch.sigmoid(queries.index_select(0, steps.rows) + self.keys(x)))  # (N, 1)
        return sum_steps(scores.float() * x.float(), steps)

    def _padded(self, lengths: Tensor, longest: int, queries: Tensor, keys: Tensor, x: Tensor) -> Tensor:
        padding = Padding(lengths, longest, x.shape[0])
        queries, keys, x = (padding.filled(part) for part in (queries, keys, x))  # (R, L, ..)
        size = max(1, MOST // (keys.shape[0] * keys.shape[1] * keys.shape[2]))
        parts = []
        for start in range(0, longest, size):
            end = min(start + size, longest)
            part = (queries[:, start:end], keys[:, :end], x[:, :end])
            parts.append(checkpoint(self._part, *part, use_reentrant=False, preserve_rng_state=False))
        return padding.taken(torch.cat(parts, dim=1))

    def _part(self, queries: Tensor, keys: Tensor, x: Tensor) -> Tensor:
        """(R, m, width), of the newest m steps as queries."""
        scores = self.score(torch.sigmoid(queries.unsqueeze(2) + keys.unsqueeze(1))).squeeze(3)  # (R, m, L)
        return torch.bmm(scores.tril(keys.shape[1] - queries.shape[1]), x.to(scores.dtype))
