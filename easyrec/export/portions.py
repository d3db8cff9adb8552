"""Candidates of a request some at a time, so that what is computed of each of them and each step stays in the cache.

Knows no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from easyrec.embedding.sides import ITEM, USER

JAGGED = ("seq", "rows", "offsets")
"""Kinds of inputs that have not a row per candidate."""


def num_steps(given: Mapping[str, np.ndarray]) -> int:
    """Steps of the longest sequence that a request has once; 0 where candidates have sequences of their own."""
    if any(name.removeprefix(ITEM).startswith(JAGGED) for name in given if name.startswith(ITEM)):
        return 0
    return max((len(array) for name, array in given.items() if name.startswith(f"{USER}seq:")), default=0)


def in_portions(
    run: Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]], given: Mapping[str, np.ndarray], cells: int | None
) -> dict[str, np.ndarray]:
    """What a program for requests says of all candidates.

    Args:
        run: The program.
        given: Its inputs.
        cells: Candidates times steps that are computed at a time; None: all.
    """
    steps = num_steps(given) if cells is not None else 0
    if cells is None or not steps:
        return run(given)
    count = next(len(array) for name, array in given.items() if name.startswith(ITEM))
    most = max(1, cells // steps)
    if count <= 2 * most:
        return run(given)
    once = {name: array for name, array in given.items() if not name.startswith(ITEM)}
    each = {name: array for name, array in given.items() if name.startswith(ITEM)}
    parts = [
        run(once | {name: array[start : start + most] for name, array in each.items()})
        for start in range(0, count, most)
    ]
    return {task: np.concatenate([part[task] for part in parts]) for task in parts[0]}
