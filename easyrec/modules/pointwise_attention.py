"""Attention that weighs every step by itself, without a softmax over them."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from easyrec.modules.alike import Padding, in_groups, in_turns


class RelativeBias(nn.Module):
    """``p_(l - j) + r_b(t_l - t_j)``, learned by how many steps, and how much time, lie between two steps.

    ``b(t) = floor(log(1 + |t|) / 0.3)``: a bucket is a third wider than the one before it.

    Shape:
        within: (L,), 0 .. L-1; times: (R, L)
        output: (L, L), or with times (R, L, L)

    Args:
        distances: Distances with a bias of their own; greater ones have the last.
        buckets: Buckets of time; 0: time does not count.

    Source:
        Zhai et al., "Actions Speak Louder than Words", ICML 2024, section 3.1.
    """

    def __init__(self, distances: int, buckets: int) -> None:
        super().__init__()
        self.distances = nn.Parameter(0.02 * torch.randn(distances))
        self.buckets = nn.Parameter(0.02 * torch.randn(buckets)) if buckets else None

    def forward(self, within: Tensor, times: Tensor | None) -> Tensor:
        """The bias of each query, l, and key, j; for j <= l."""
        between = (within.unsqueeze(1) - within).clamp(0, self.distances.shape[0] - 1)
        bias = self.distances.index_select(0, between.flatten()).view_as(between)
        if self.buckets is None or times is None:
            return bias
        passed = (times.unsqueeze(2) - times.unsqueeze(1)).abs()  # (R, L, L)
        bucket = torch.floor(torch.log(passed + 1.0) / 0.3).long().clamp_max(self.buckets.shape[0] - 1)
        return bias + self.buckets.index_select(0, bucket.flatten()).view_as(passed)


def weigh(projected: Tensor, offsets: Tensor, bias: RelativeBias, times: Tensor | None = None) -> Tensor:
    """``sum_{j <= l} silu(<q_l, k_j> + bias_lj) v_j / l`` among the steps of each row, counted from 1, for each head.

    Rows are padded as by `attend`.

    Shape:
        projected: (N, 3, H, d), the queries, keys and values of all rows' steps
        offsets: (B+1,), row b has the steps `offsets[b] .. offsets[b+1]`
        times: (N,) float32
        output: (N, H, d)

    Source:
        Zhai et al., "Actions Speak Louder than Words", ICML 2024, eq. (2).
    """
    if torch.compiler.is_exporting():
        return _captured(projected, offsets, bias, times)
    if not projected.shape[0]:
        return projected[:, 0]
    given = (projected,) if times is None else (projected, times)
    weighed: Tensor = in_groups(partial(_padded, bias=bias), offsets, *given)
    return weighed


def _padded(
    lengths: Tensor, longest: int, projected: Tensor, times: Tensor | None = None, *, bias: RelativeBias
) -> Tensor:
    padding, within = Padding(lengths, longest, projected.shape[0]), torch.arange(longest, device=lengths.device)
    filled = padding.filled(projected).permute(2, 0, 3, 1, 4)  # (3, R, H, L, d)
    return padding.taken(_mixed(filled, within, bias, None if times is None else padding.filled(times)))


def _mixed(filled: Tensor, within: Tensor, bias: RelativeBias, times: Tensor | None) -> Tensor:
    """(R, L, H, d); places behind the last step of a row are newer than all steps."""
    queries, keys, values = filled[0], filled[1], filled[2]  # (R, H, L, d) each
    added = bias(within, times)
    scores = queries @ keys.transpose(2, 3) + (added if times is None else added.unsqueeze(1))
    seen = (within <= within.unsqueeze(1)) / (within + 1.0).unsqueeze(1)  # (L, L)
    return ((F.silu(scores) * seen).to(values.dtype) @ values).transpose(1, 2)


def _captured(projected: Tensor, offsets: Tensor, bias: RelativeBias, times: Tensor | None) -> Tensor:
    """The same as a loop over groups of rows, every operator of which a stored program may call."""
    heads, dim = projected.shape[2:]
    given = projected.flatten(1)
    if times is not None:
        given = torch.cat([times.unsqueeze(1), given], dim=1)

    def weigh_some(filled: Tensor, within: Tensor) -> Tensor:
        own = None if times is None else filled[:, :, 0]
        parts = torch.unflatten(filled if times is None else filled[:, :, 1:], 2, (3, heads, dim))
        return _mixed(parts.permute(2, 0, 3, 1, 4), within, bias, own)

    source = torch.cat([given, given.new_zeros(1, given.shape[1])])
    return torch.unflatten(in_turns(weigh_some, offsets, source, heads * dim), 1, (heads, dim))
