"""Rows of steps, padded only among rows of similar lengths."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import cast

import torch
from torch import Tensor

from easyrec.modules.repeat import repeat

ROWS = 64
"""Rows that a stored program takes at once."""


@torch.compiler.disable  # type: ignore[untyped-decorator]  # the number of groups is in the data
def in_groups(function: Callable[..., Tensor], offsets: Tensor, *given: Tensor) -> Tensor:
    """What a function makes of rows, which it gets in groups of similar lengths, longest first.

    Within a group lengths differ by a fifth at most, on a GPU by half, see `alike`.

    Args:
        function: ``function(lengths, longest, *parts)`` of R rows' lengths, (R,), and their n steps one row after
            another, (n, ..) for each of `given`; gives (n, ..).
        offsets: (B+1,), row b has the steps `offsets[b] .. offsets[b+1]`.
        given: (N, ..) each.

    Returns:
        (N, ..), where there is a step.
    """
    lengths, order = torch.sort(offsets.diff(), descending=True)
    groups = [g for g in alike(lengths.tolist(), offsets.device) if g[2]]
    place = places(offsets.index_select(0, order), lengths)  # by length: where each step of the row lies
    parts = [torch.split(tensor.index_select(0, place), [steps for *_, steps in groups]) for tensor in given]
    results = [
        function(lengths[first:last], int(lengths[first]), *some)
        for (first, last, _), *some in zip(groups, *parts, strict=True)
    ]
    back = torch.empty_like(place)
    back[place] = torch.arange(place.shape[0], device=place.device)
    return torch.cat(results).index_select(0, back)


def alike(lengths: Sequence[int], device: torch.device) -> Iterator[tuple[int, int, int]]:
    """Groups of similar lengths, of lengths that descend: first row, row behind the last, number of steps.

    Args:
        lengths: Of the rows; in a group they differ by a fifth at most, or by half.
        device: Where the steps are. A GPU wastes less on padding than on starting kernels.
    """
    first, steps, parts = 0, 0, 5 if device.type == "cpu" else 2
    for row, length in enumerate(lengths):
        if lengths[first] - length > max(4, lengths[first] // parts):
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


class Padding:
    """Places for R rows' steps where all rows are as long as the longest.

    Attributes:
        inside: (R, L) bool, which places hold a step; None: all do.
    """

    def __init__(self, lengths: Tensor, longest: int, steps: int) -> None:
        self.rows, self.longest = lengths.shape[0], longest
        self.inside: Tensor | None = None
        if steps != self.rows * longest:
            self.inside = torch.arange(longest, device=lengths.device) < lengths.unsqueeze(1)
            self.place = torch.nonzero(self.inside.flatten()).squeeze(1)

    def filled(self, part: Tensor) -> Tensor:
        """(R, L, ..), steps (n, ..) in their places, zeros in the others."""
        if self.inside is not None:
            empty = part.new_zeros(self.rows * self.longest, *part.shape[1:])
            part = empty.index_copy(0, self.place, part)
        return part.view(self.rows, self.longest, *part.shape[1:])

    def taken(self, filled: Tensor) -> Tensor:
        """(n, ..), what stands in the places of steps, (R, L, ..)."""
        flat = filled.flatten(0, 1)
        return flat if self.inside is None else flat.index_select(0, self.place)


def in_turns(function: Callable[[Tensor, Tensor], Tensor], offsets: Tensor, source: Tensor, width: int) -> Tensor:
    """The same as a loop over groups of 64 rows that a stored program repeats.

    Args:
        function: ``function(filled, within)`` of (R, L, W), the steps in their places, and (L,), 0 .. L-1; gives
            (R, L, width).
        offsets: (B+1,), row b has the steps `offsets[b] .. offsets[b+1]`.
        source: (N + 1, W), all steps and what stands in places without one.
        width: Columns of the output.

    Returns:
        (N, width).
    """
    lengths, order = torch.sort(offsets.diff(), descending=True)
    rows, behind = order.shape[0], lengths.sum()  # N
    # Rows without steps, for the places behind the last.
    lengths = torch.cat([lengths, lengths.new_zeros(ROWS)])
    starts = torch.cat([offsets.index_select(0, order), offsets.new_zeros(ROWS)])
    group = torch.arange(ROWS, device=offsets.device)

    def some(turn: Tensor, output: Tensor) -> tuple[Tensor]:
        mine = turn * ROWS + group
        own, start = lengths.index_select(0, mine).unsqueeze(1), starts.index_select(0, mine).unsqueeze(1)
        longest = cast(int, own.amax().clamp_min(1).item())
        torch._check(longest >= 1)  # type: ignore[no-untyped-call]
        within = torch.arange(longest, device=offsets.device)
        place = torch.where(within < own, start + within, behind).flatten()  # (R * L,)
        filled = source.index_select(0, place).view(ROWS, longest, source.shape[1])
        found = function(filled, within).reshape(ROWS * longest, width)
        return (output.index_put((place,), found),)

    turns = torch.full((), (rows + ROWS - 1) // ROWS, dtype=torch.int64, device=offsets.device)
    (output,) = repeat(turns, some, source.new_zeros(source.shape[0], width))
    return output[:-1]
