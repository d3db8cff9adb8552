"""What a cache counted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CacheStats:
    """The state of a cache at this moment.

    Attributes:
        rows: What it holds.
        nbytes: Bytes that this takes, as far as they are known.
        age_s: Seconds since it was filled whole, or its oldest entry was made.
        hits: What was asked for and was there.
        misses: What was asked for and was not.
        evicted: What was left out for want of room.
    """

    rows: int = 0
    nbytes: int = 0
    age_s: float = 0.0
    hits: int = 0
    misses: int = 0
    evicted: int = 0
