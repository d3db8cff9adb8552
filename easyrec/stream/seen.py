"""Ids of events, for as long as they may come again: 64 bits of each, in sorted arrays by the time of the event."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from easyrec.stream.state import State, every

SPACE = "seen"
PARTS = 8
"""Into so many parts the horizon is cut; a part is forgotten as a whole."""
RUNS = 8
"""Arrays of a part that are looked through one by one, before they are merged."""


class Seen:
    """Remembers ids.

    Two ids are the same where 64 bits of their hash are: of a hundred million ids that are remembered, about one in
    two hundred billion others is taken for one of them.

    Args:
        state: What was remembered.
        horizon: Microseconds of event time.
    """

    def __init__(self, state: State, horizon: int) -> None:
        self.width = max(1, horizon // PARTS)
        self._runs: dict[int, list[np.ndarray]] = {}
        self._number = 0
        self._stored: dict[int, list[bytes]] = {}
        self._new: dict[int, list[np.ndarray]] = {}
        self._gone: list[bytes] = []
        for key, value in every(state, SPACE):
            part = _part_of(key)
            self._add(part, np.frombuffer(value, np.uint64))
            self._stored.setdefault(part, []).append(key)
            self._number = max(self._number, int.from_bytes(key[8:], "big") + 1)

    def again(self, ids: pa.Array, times: np.ndarray) -> np.ndarray:
        """Which events have come before; the others are remembered.

        Args:
            ids: (rows,): texts or whole numbers; null is no id.
            times: (rows,) int64: event times in microseconds.
        """
        hashes = hashed(ids)
        known = np.zeros(len(hashes), bool)
        for runs in self._runs.values():
            for run in runs:
                place = np.searchsorted(run, hashes)
                known |= run[np.minimum(place, len(run) - 1)] == hashes
        order = np.argsort(hashes, kind="stable")
        ordered = hashes[order]
        twice = np.zeros(len(hashes), bool)
        twice[order[1:]] = ordered[1:] == ordered[:-1]  # of equal ones the first is none
        named = np.asarray(ids.is_valid())
        again: np.ndarray = (known | twice) & named
        new = ~again & named
        parts = times[new] // self.width
        fresh = hashes[new]
        for part in np.unique(parts).tolist():
            some = np.sort(fresh[parts == part])
            self._add(part, some)
            self._new.setdefault(part, []).append(some)
        return again

    def forget(self, watermark: int) -> None:
        """Let go of what is older than the horizon before a watermark."""
        for part in [part for part in self._runs if part < watermark // self.width - PARTS]:
            del self._runs[part]
            self._new.pop(part, None)
            self._gone += self._stored.pop(part, ())

    def changes(self) -> tuple[str, Sequence[bytes], Sequence[bytes]]:
        """What the state has to remember and to forget since this was asked last."""
        keys, values = list(self._gone), [b""] * len(self._gone)
        for part, runs in self._new.items():
            key = _key(part, self._number)
            self._number += 1
            keys.append(key)
            values.append(np.concatenate(runs).tobytes())
            self._stored.setdefault(part, []).append(key)
        self._new, self._gone = {}, []
        return SPACE, keys, values

    def _add(self, part: int, run: np.ndarray) -> None:
        runs = self._runs.setdefault(part, [])
        runs.append(np.sort(run))
        # As many small ones as make a large one are merged, so that an id is moved a few times only.
        while len(runs) > RUNS or (len(runs) > 1 and len(runs[-2]) <= 2 * len(runs[-1])):
            last = runs.pop()
            runs[-1] = np.sort(np.concatenate([runs[-1], last]), kind="stable")


def hashed(ids: pa.Array) -> np.ndarray:
    """(rows,) uint64: a hash of each id, the same in every process; 7 and "7" have the same."""
    from pandas.util import hash_array  # noqa: PLC0415 (pandas takes half a second)

    texts = ids.cast(pa.string()).fill_null("").to_numpy(zero_copy_only=False)
    made: np.ndarray = hash_array(texts, categorize=False)
    return made


def _key(part: int, number: int) -> bytes:
    return (part + (1 << 62)).to_bytes(8, "big") + number.to_bytes(8, "big")


def _part_of(key: bytes) -> int:
    return int.from_bytes(key[:8], "big") - (1 << 62)
