"""What runs where: by the time that each way took for requests of some sizes when the bundle was loaded."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal, TypeAlias

import torch

from easyrec.errors import BundleError
from serving.gpu.feed import bucket

Way: TypeAlias = Literal["cpu", "gpu", "gpu, tables there"]
"""All on the processor; the program on the device; tables as well."""
CPU: Way = "cpu"
THERE: Way = "gpu, tables there"
ROUNDS, SECONDS = 15, 0.3
"""How often a way is timed, at most, and for how long in all."""
STEP = 4
"""From one size that is timed to the next."""
BEHIND = 4.0
"""How many times as long as the fastest the processor takes when larger sizes are not worth timing."""
LONGEST_MS = 200.0
"""Sizes that take longer are not timed."""


@dataclass
class Placement:
    """Which way requests of each size go.

    Attributes:
        usual: The way of requests that nothing was measured for.
        milliseconds: By rows, what each way took; median.
        chosen: By rows, the way that is taken.
    """

    usual: Way
    milliseconds: dict[int, dict[Way, float]] = field(default_factory=dict)
    chosen: dict[int, Way] = field(default_factory=dict)

    def of(self, rows: int) -> Way:
        """The way of so many rows: that of the size timed whose ratio to it is the smallest."""
        if not self.chosen:
            return self.usual
        size = bucket(rows)
        return self.chosen[min(self.chosen, key=lambda timed: max(timed / size, size / timed))]

    def choose(self, ways: Sequence[Way]) -> None:
        """Take the fastest of some ways for each size."""
        for rows, times in self.milliseconds.items():
            self.chosen[rows] = min((way for way in ways if way in times), key=times.__getitem__)


def timed_sizes(usual: int, most: int) -> list[int]:
    """Powers of four, and the bucket of the usual size."""
    sizes, size = {min(bucket(usual), bucket(most))}, 1
    while size <= min(most, 4096):
        sizes.add(size)
        size *= STEP
    return sorted(sizes)


def measure_all(
    sizes: Sequence[int], ways: Sequence[Way], calls: Callable[[int], Mapping[Way, Callable[[], Any]]]
) -> dict[int, dict[Way, float]]:
    """What each way takes by size, smallest first. The processor leaves the race where it is left behind.

    Args:
        sizes: Numbers of rows.
        ways: What is timed.
        calls: Makes a call for each way, of so many rows.
    """
    found: dict[int, dict[Way, float]] = {}
    ways = list(ways)
    for size in sizes:
        try:
            times = measure({way: call for way, call in calls(size).items() if way in ways})
        except BundleError:  # the device's memory does not hold so many rows
            if not found:
                raise
            break
        found[size] = times
        if CPU in ways and times[CPU] > BEHIND * min(times.values()):
            ways.remove(CPU)
        if STEP * min(times.values()) > LONGEST_MS:
            break  # requests of larger sizes go the way of this one
    return found


def measure(ways: Mapping[Way, Callable[[], Any]]) -> dict[Way, float]:
    """Median milliseconds of each way, taken in turns with one thread inside torch, as requests are served."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    spent: dict[Way, list[float]] = {way: [] for way in ways}
    try:
        for call in ways.values():
            call()
            call()  # the second one captures
        end = time.monotonic() + SECONDS
        for turn in range(ROUNDS):
            for way, call in ways.items():
                before = time.perf_counter()
                call()
                spent[way].append(time.perf_counter() - before)
            if turn and time.monotonic() > end:
                break
    finally:
        torch.set_num_threads(threads)
    return {way: round(1000 * median(seconds), 4) for way, seconds in spent.items()}
