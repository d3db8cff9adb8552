"""Which sizes of a program's inputs may be padded: tried, not assumed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from easyrec.export.warmup import largest_error
from serving.gpu.feed import ROWS, Feed, Sizes

Run: TypeAlias = Callable[[Feed, Sizes], Mapping[str, np.ndarray]]
"""A program over a feed that is padded to some sizes."""


def noticed(run: Run, feeds: Sequence[Feed], tolerance: float) -> frozenset[str]:
    """Sizes whose padding changes what a program answers, or that it does not take.

    Args:
        run: The program.
        feeds: Different inputs of the same sizes.
        tolerance: What is no change.
    """
    found = set()
    for size in feeds[0].actual:
        exact = {*feeds[0].actual} - {size} - ({ROWS} if size in feeds[0].spared else set())
        try:
            if not all(_same(run, feed, feed.padded(exact), tolerance) for feed in feeds):
                found.add(size)
        except (RuntimeError, LookupError, TypeError, ValueError):
            found.add(size)
    return frozenset(found)


def _same(run: Run, feed: Feed, sizes: Sizes, tolerance: float) -> bool:
    plain, padded = run(feed, feed.actual), run(feed, sizes)
    return all(largest_error(padded[name], plain[name]) <= tolerance for name in plain)
