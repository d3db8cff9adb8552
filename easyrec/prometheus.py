"""Counters, gauges and histograms of a process, and the text that Prometheus reads of one process or of several."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

Labels: TypeAlias = tuple[tuple[str, str], ...]
MOST_SERIES = 10_000
"""Beyond these, new label values are dropped: no request can fill the memory."""


class Metrics:
    """The numbers of one process. Safe to use from several threads.

    Args:
        bounds: Upper bounds of the buckets of each histogram, by its name.
    """

    def __init__(self, bounds: Mapping[str, Sequence[float]]) -> None:
        self._bounds = bounds
        self._lock = threading.Lock()
        self._counters: dict[tuple[str, Labels], float] = {}
        self._gauges: dict[tuple[str, Labels], float] = {}
        self._histograms: dict[tuple[str, Labels], list[float]] = {}

    def add(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Add to a counter."""
        key = (name, tuple(labels.items()))
        with self._lock:
            if key in self._counters or len(self._counters) < MOST_SERIES:
                self._counters[key] = self._counters.get(key, 0.0) + amount

    def set(self, name: str, value: float, /, **labels: str) -> None:
        """Set a gauge."""
        with self._lock:
            self._gauges[name, tuple(labels.items())] = value

    def clear(self, name: str) -> None:
        """Forget all series of a gauge."""
        with self._lock:
            self._gauges = {key: value for key, value in self._gauges.items() if key[0] != name}

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Put a value into a histogram."""
        self.observe_all(name, [(tuple(labels.items()), value)])

    def observe_all(self, name: str, values: Iterable[tuple[Labels, float]]) -> None:
        """Put values into histograms of one name, under one lock."""
        bounds = self._bounds[name]
        with self._lock:
            for labels, value in values:
                found = self._histograms.get((name, labels))
                if found is None:
                    if len(self._histograms) >= MOST_SERIES:
                        continue
                    found = self._histograms[name, labels] = [0.0] * (len(bounds) + 2)  # buckets, beyond, sum
                found[bisect_left(bounds, value)] += 1.0
                found[-1] += value

    def state(self) -> dict[str, Any]:
        """All numbers, to be added to others'."""
        with self._lock:
            return {
                "counters": [[name, labels, value] for (name, labels), value in self._counters.items()],
                "gauges": [[name, labels, value] for (name, labels), value in self._gauges.items()],
                "histograms": [[name, labels, list(v)] for (name, labels), v in self._histograms.items()],
            }


def exposition(
    states: Iterable[Mapping[str, Any]],
    told: Mapping[str, tuple[str, str]],
    bounds: Mapping[str, Sequence[float]],
    largest: Collection[str] = (),
) -> bytes:
    """The text that Prometheus reads, of the sum of several processes' numbers.

    Args:
        states: What `Metrics.state` gave.
        told: Type and meaning of each number, by its name.
        bounds: Those that the processes' histograms have.
        largest: Gauges of which the largest is told, not the sum.
    """
    sums: dict[str, dict[Labels, Any]] = {}
    for state in states:
        for kind in ("counters", "gauges"):
            for name, labels, value in state[kind]:
                series = sums.setdefault(name, {})
                key = _labels(labels)
                former = series.get(key, 0.0)
                series[key] = max(former, value) if name in largest else former + value
        for name, labels, values in state["histograms"]:
            series, key = sums.setdefault(name, {}), _labels(labels)
            series[key] = [a + b for a, b in zip(series.get(key, [0.0] * len(values)), values, strict=True)]
    lines: list[str] = []
    for name in sorted(sums):
        kind, text = told[name]
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
        for labels, value in sorted(sums[name].items()):
            if kind == "histogram":
                lines += _histogram(name, labels, value, bounds[name])
            else:
                lines.append(f"{name}{_shown(labels)} {_number(value)}")
    return ("\n".join(lines) + "\n").encode()


def _histogram(name: str, labels: Labels, values: list[float], bounds: Sequence[float]) -> Iterable[str]:
    total = 0.0
    for bound, count in zip((*bounds, None), values[:-1], strict=True):
        total += count
        edge = "+Inf" if bound is None else _number(bound)
        yield f"{name}_bucket{_shown((*labels, ('le', edge)))} {_number(total)}"
    yield f"{name}_sum{_shown(labels)} {_number(values[-1])}"
    yield f"{name}_count{_shown(labels)} {_number(total)}"


def _labels(pairs: Iterable[Iterable[str]]) -> Labels:
    return tuple((str(key), str(value)) for key, value in pairs)


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _shown(labels: Labels) -> str:
    if not labels:
        return ""
    escaped = ((key, value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")) for key, value in labels)
    return "{" + ",".join(f'{key}="{value}"' for key, value in escaped) + "}"
