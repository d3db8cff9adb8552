"""Attention among the steps of each row, without padding them to the longest row."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from easyrec.modules.repeat import repeat

ROWS = 64
"""Rows that a stored program attends to at once."""
NEVER = -1e30
"""A score that weighs nothing, and unlike -inf has a gradient."""


def attend(projected: Tensor, offsets: Tensor, *, causal: bool = False) -> Tensor:
    """``softmax(Q K' / sqrt(d)) V`` among the steps of each row, for each head; with `causal` no step sees a later one.

    Rows are taken in the order of their lengths: in groups whose lengths differ by a fifth at most, each padded to its
    own longest; under torch.export 64 at a time, in a loop that a stored program repeats.

    Shape:
        projected: (N, 3, H, d), the queries, keys and values of all rows' steps
        offsets: (B+1,), row b has the steps `offsets[b] .. offsets[b+1]`
        output: (N, H, d)
    """
    if torch.compiler.is_exporting():
        return _captured(projected, offsets, causal=causal)
    attended: Tensor = _in_groups(projected, offsets, causal=causal)
    return attended


@torch.compiler.disable  # type: ignore[untyped-decorator]  # the number of groups is in the data
def _in_groups(projected: Tensor, offsets: Tensor, *, causal: bool) -> Tensor:
    lengths, order = torch.sort(offsets.diff(), descending=True)
    groups = [g for g in alike(lengths.tolist()) if g[2]]
    if not groups:
        return projected[:, 0]
    place = places(offsets.index_select(0, order), lengths)  # by length: where each step of the row lies
    parts = torch.split(projected.index_select(0, place), [steps for *_, steps in groups])
    results = [
        _padded(part, lengths[first:last], int(lengths[first]), causal=causal)
        for part, (first, last, _) in zip(parts, groups, strict=True)
    ]
    back = torch.empty_like(place)
    back[place] = torch.arange(place.shape[0], device=place.device)
    return torch.cat(results).index_select(0, back)


def alike(lengths: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Groups of similar lengths, of lengths that descend: first row, row behind the last, number of steps."""
    first = steps = 0
    for row, length in enumerate(lengths):
        if lengths[first] - length > max(4, lengths[first] // 5):
            yield first, row, steps
            first, steps = row, 0
        steps += length
    if lengths:
        yield first, len(lengths), steps


def places(starts: Tensor, lengths: Tensor) -> Tensor:
    """(N,), where the steps of rows lie that start at `starts`, row after row."""
    before = lengths.cumsum(0) - lengths
    shift = torch.repeat_interleave(starts - before, lengths)
    return shift + torch.arange(shift.shape[0], device=shift.device)


def _padded(projected: Tensor, lengths: Tensor, longest: int, *, causal: bool) -> Tensor:
    """(n, H, d), attention among rows of these lengths, (n, 3, H, d), padded to the longest."""
    rows, (steps, _, heads, dim) = lengths.shape[0], projected.shape
    if steps == rows * longest:
        place, bias, filled = None, None, projected
    else:
        inside = torch.arange(longest, device=lengths.device) < lengths.unsqueeze(1)  # (R, L)
        place = torch.nonzero(inside.flatten()).squeeze(1)
        bias = torch.zeros(rows, 1, 1, longest, dtype=projected.dtype, device=projected.device)
        hidden = ~inside[:, None, None]
        if causal:
            hidden, bias = hidden | _later(longest, lengths), bias.expand(-1, -1, longest, -1)
        bias = bias.masked_fill(hidden, -torch.inf)
        filled = projected.new_zeros(rows * longest, 3, heads, dim).index_copy(0, place, projected)
    queries, keys, values = filled.view(rows, longest, 3, heads, dim).permute(2, 0, 3, 1, 4)  # (R, H, L, d) each
    given = {"is_causal": True} if causal and bias is None else {"attn_mask": bias}
    attended = F.scaled_dot_product_attention(queries, keys, values, **given).transpose(1, 2).flatten(0, 1)
    return attended if place is None else attended.index_select(0, place)


def _later(longest: int, like: Tensor) -> Tensor:
    """(L, L), whether a key lies behind its query."""
    within = torch.arange(longest, device=like.device)
    return within > within.unsqueeze(1)


def _captured(projected: Tensor, offsets: Tensor, *, causal: bool = False) -> Tensor:
    """The same as a loop over groups of rows, every operator of which a stored program may call.

    Places without a step hold a key that no query takes: queries and keys have one column more, of ones and of zeros,
    there a large negative number. So no mask goes over the scores unless they are causal.
    """
    total, _, heads, dim = projected.shape
    queries, keys, values = projected[:, 0] / math.sqrt(dim), projected[:, 1], projected[:, 2]  # (N, H, d) each
    one = projected.new_ones(total, heads, 1)
    steps = torch.cat([queries, one, keys, torch.zeros_like(one), values], dim=2)  # (N, H, 3d + 2)
    none = projected.new_zeros(1, heads, 2 * dim + 1)
    none = torch.cat([none, projected.new_full((1, heads, 1), NEVER), none[:, :, :dim]], dim=2)
    source = torch.cat([steps, none]).flatten(1)
    lengths, order = torch.sort(offsets.diff(), descending=True)
    rows, behind = order.shape[0], lengths.sum()  # N, where `none` lies
    # Rows without steps, for the places behind the last.
    lengths = torch.cat([lengths, lengths.new_zeros(ROWS)])
    starts = torch.cat([offsets.index_select(0, order), offsets.new_zeros(ROWS)])
    group = torch.arange(ROWS, device=offsets.device)

    def attend_to_some(turn: Tensor, output: Tensor) -> tuple[Tensor]:
        mine = turn * ROWS + group
        own, start = lengths.index_select(0, mine).unsqueeze(1), starts.index_select(0, mine).unsqueeze(1)
        longest = cast(int, own.amax().clamp_min(1).item())
        torch._check(longest >= 1)  # type: ignore[no-untyped-call]
        within = torch.arange(longest, device=offsets.device)
        place = torch.where(within < own, start + within, behind).flatten()  # (R * L,)
        filled = source.index_select(0, place).view(ROWS, longest, heads, 3 * dim + 2).transpose(1, 2)  # (R, H, L, ..)
        scores = filled[..., : dim + 1] @ filled[..., dim + 1 : 2 * dim + 2].transpose(2, 3)
        if causal:
            scores = scores.masked_fill(within > within.unsqueeze(1), NEVER)
        attended = (torch.softmax(scores, dim=3) @ filled[..., 2 * dim + 2 :]).transpose(1, 2)
        return (output.index_put((place,), attended.reshape(ROWS * longest, heads * dim)),)

    turns = torch.full((), (rows + ROWS - 1) // ROWS, dtype=torch.int64, device=offsets.device)
    (output,) = repeat(turns, attend_to_some, projected.new_zeros(total + 1, heads * dim))
    return torch.unflatten(output[:total], 1, (heads, dim))
