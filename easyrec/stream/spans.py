"""Which panes of a key count at which times: what a window holds now, and at every moment to come if nothing comes.

Times are cut into panes, of one length for a window. A window changes only at multiples of that length: a pane enters it, and
leaves it again. From these breaks on a reader can tell, at any time, what the window holds, without anybody counting on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

ALWAYS = -(1 << 63)
"""Since before all times."""


@dataclass(frozen=True)
class Panes:
    """Panes of keys, sorted by key and time, none twice.

    Attributes:
        owner: (panes,) int64: number of the key.
        at: (panes,) int64: number of the pane: its begin divided by its length.
        keys: How many keys there are.
    """

    owner: np.ndarray
    at: np.ndarray
    keys: int


@dataclass(frozen=True)
class Spans:
    """What a window holds from some times on: of the panes those from one to another.

    Attributes:
        ends: (keys + 1,) int32: where the steps of each key end.
        since: (steps,) int64: microseconds since 1970.
        start: (steps,) int64: the first pane.
        stop: (steps,) int64: the one behind the last pane.
    """

    ends: np.ndarray
    since: np.ndarray
    start: np.ndarray
    stop: np.ndarray

    @classmethod
    def of(cls, who: np.ndarray, since: np.ndarray, start: np.ndarray, stop: np.ndarray, keys: int) -> Spans:
        """Steps of keys, which ascend; the first of each holds since always."""
        first = np.ones(len(who), bool)
        first[1:] = who[1:] != who[:-1]
        ends = np.concatenate([[0], np.cumsum(np.bincount(who, minlength=keys))]).astype(np.int32)
        return cls(ends, np.where(first, ALWAYS, since), start, stop)

    def pruned(self, start: np.ndarray, stop: np.ndarray) -> Spans:
        """The steps with other panes, without those that hold the same as the one before."""
        keys = len(self.ends) - 1
        who = np.repeat(np.arange(keys), np.diff(self.ends))
        start = np.where(start < stop, start, stop)
        new = np.ones(len(who), bool)
        new[1:] = (who[1:] != who[:-1]) | (start[1:] != start[:-1]) | (stop[1:] != stop[:-1])
        return Spans.of(who[new], self.since[new], start[new], stop[new], keys)

    def steps(self, values: pa.Array) -> pa.MapArray:
        """The values of the steps, as the codec takes them."""
        return pa.MapArray.from_arrays(pa.array(self.ends, pa.int32()), pa.array(self.since, pa.int64()), values)


def spans_of(panes: Panes, width: int, size: int, lead: int, watermark: int) -> Spans:
    """What a window holds, from the watermark on.

    Args:
        panes: What there is.
        width: Length of a pane in microseconds; 0: there is one pane, and no window.
        size: Panes of the window.
        lead: 1 where the pane that is not complete yet belongs to it, 0 where it begins to count when it is complete.
        watermark: Steps that end before it are left out: nobody reads them any more.
    """
    owner, at = panes.owner, panes.at
    numbers = np.arange(panes.keys)
    if width == 0:
        return Spans(
            np.arange(panes.keys + 1, dtype=np.int32),
            np.full(panes.keys, ALWAYS),
            np.searchsorted(owner, numbers),
            np.searchsorted(owner, numbers, "right"),
        )
    low = int(at.min()) if len(at) else 0
    enter = at + 1 - lead
    # In front of all a break at which nothing has entered.
    who = np.concatenate([numbers, owner, owner])
    when = np.concatenate([np.full(panes.keys, low - lead), enter, enter + size])
    order = np.lexsort((when, who))
    who, when = who[order], when[order]
    new = np.ones(len(who), bool)
    new[1:] = (who[1:] != who[:-1]) | (when[1:] != when[:-1])
    who, when = who[new], when[new]
    last = np.ones(len(who), bool)
    last[:-1] = who[1:] != who[:-1]
    until = np.append(when[1:], 0)
    ahead = last | (until > watermark // width)
    who, when = who[ahead], when[ahead]
    reach = (int(at.max()) if len(at) else 0) - low + 2
    place = owner * reach + (at - low)
    start = np.searchsorted(place, who * reach + np.clip(when + lead - size - low, 0, reach - 1))
    stop = np.searchsorted(place, who * reach + np.clip(when + lead - low, 0, reach - 1))
    return Spans.of(who, when * width, start, stop, panes.keys)


def folded(fold: np.ufunc, values: np.ndarray, spans: Spans) -> tuple[np.ndarray, np.ndarray]:
    """Each span's values in one, and which spans are empty."""
    empty = spans.start >= spans.stop
    if not len(values):
        return np.zeros(len(spans.start), values.dtype), empty
    padded = np.append(values, values[-1:])  # where a span ends behind the last value
    made = fold.reduceat(padded, np.stack([spans.start, spans.stop], axis=1).ravel())[::2]
    return made, empty
