"""Which keys were changed, as stores write it down beside the records: what followers read, and how much of it is kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MOST_KEYS, MOST_ENTRIES, FEWEST_ENTRIES = 1_000_000, 100_000, 16
"""What a journal holds at most; who has followed less reads everything anew."""


def entries_kept(num_keys: int) -> int:
    """How many entries stay, where the latest has so many keys."""
    return min(MOST_ENTRIES, max(FEWEST_ENTRIES, MOST_KEYS // max(1, num_keys)))


def packed(keys: Sequence[bytes]) -> bytes:
    """The keys of an entry: how many there are, how long each is, and they."""
    lengths = np.fromiter(map(len, keys), "<u4", len(keys))
    return len(keys).to_bytes(4, "little") + lengths.tobytes() + b"".join(keys)


def unpacked(entry: bytes) -> list[bytes]:
    """The keys of an entry."""
    count = int.from_bytes(entry[:4], "little")
    start = 4 + 4 * count
    ends = (np.cumsum(np.frombuffer(entry, "<u4", count, 4), dtype=np.int64) + start).tolist()
    return [entry[begin:end] for begin, end in zip([start, *ends[:-1]], ends, strict=True)] if count else []
