"""Gates: whether a build may pass, judged by intervals, so that noise fails none."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from easyrec.errors import ConfigError, nearest
from rag.evaluation.comparing import Compared
from rag.evaluation.results import Summary

GATE = re.compile(r"^\s*([^<>=]+?)\s*(>=|<=)\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*$")


@dataclass(frozen=True)
class Gate:
    """What must hold of a metric.

    Attributes:
        metric: Its name.
        least: Whether the bound is the least that it may be, not the most.
        bound: The bound.
    """

    metric: str
    least: bool
    bound: float

    def __str__(self) -> str:
        return f"{self.metric} {'>=' if self.least else '<='} {self.bound:g}"


@dataclass(frozen=True)
class Judged:
    """What came of a gate.

    Attributes:
        gate: What was asked for, as people read it.
        passed: Whether the build may pass.
        why: What was seen.
        sure: Whether chance cannot have made it so.
        metric: Which metric it is about.
    """

    gate: str
    passed: bool
    why: str
    sure: bool
    metric: str


def read_gate(text: str) -> Gate:
    """`metric>=value` or `metric<=value`.

    Raises:
        ConfigError: It is neither.
    """
    found = GATE.match(text)
    if found is None:
        raise ConfigError(f"--gate '{text}': write metric>=value or metric<=value, as mrr@5>=0.8")
    return Gate(found.group(1), found.group(2) == ">=", float(found.group(3)))


def check_gates(gates: Sequence[Gate], summaries: Sequence[Summary], min_measured: float) -> list[Judged]:
    """Judge bounds on means: one that is missed fails where its whole interval lies on the wrong side.

    Raises:
        ConfigError: A gate is about a metric that was not measured.
    """
    known = {one.name: one for one in summaries}
    return [_judged(gate, _named(gate.metric, known), min_measured) for gate in gates]


def _named(name: str, known: Mapping[str, Summary]) -> Summary:
    if name not in known:
        told = f"{nearest(name, known)}; measured: {', '.join(known)}"
        raise ConfigError(f"--gate: '{name}' was not measured{told}")
    return known[name]


def _judged(gate: Gate, one: Summary, min_measured: float) -> Judged:
    ends = one.interval
    if not ends.count:
        return Judged(str(gate), False, "has a value for no question", True, gate.metric)
    if one.share < min_measured:
        why = f"has values for {one.share:.0%} of its questions only (min_measured: {min_measured:.0%})"
        return Judged(str(gate), False, why, True, gate.metric)
    held = ends.mean >= gate.bound if gate.least else ends.mean <= gate.bound
    surely_not = ends.high < gate.bound if gate.least else ends.low > gate.bound
    surely = ends.low >= gate.bound if gate.least else ends.high <= gate.bound
    why = f"{ends.mean:.4f}, {ends.low:.4f} to {ends.high:.4f}"
    if not held and not surely_not:
        why += ": missed, but no more than chance may do"
    return Judged(str(gate), held or not surely_not, why, surely or surely_not, gate.metric)


def check_drops(
    compared: Sequence[Compared],
    max_drop: float,
    level: float,
    *,
    measured: Mapping[str, float] | None = None,
    min_measured: float = 0.0,
) -> list[Judged]:
    """Judge what was lost beside a baseline: a drop fails where it is surely larger than it may be.

    Surely: the whole interval of the difference lies beyond the bound, and the randomisation test, corrected for all metrics,
    finds a difference.

    Args:
        compared: The baseline first, then what is judged.
        max_drop: By how much a mean may fall.
        level: How sure is sure.
        measured: By metric the share of questions that have a value now.
        min_measured: The share that must.
    """
    found = []
    for one in compared:
        own, gate = one.difference, f"{one.name}: at most {max_drop:g} below the baseline"
        share = 1.0 if measured is None else measured.get(one.name, 1.0)
        if share < min_measured:
            why = f"has values for {share:.0%} of its questions only (min_measured: {min_measured:.0%})"
            found.append(Judged(gate, False, why, True, one.name))
            continue
        fell = own.mean < -max_drop
        surely = own.high < -max_drop and one.corrected <= 1.0 - level + 1e-12
        why = f"{one.first:.4f} to {one.second:.4f} ({own.mean:+.4f}, {own.low:+.4f} to {own.high:+.4f}, p {one.corrected:.3g})"
        if fell and not surely:
            why += ": lower, but no more than chance may do"
        found.append(Judged(gate, not surely, why, surely or own.low >= -max_drop, one.name))
    return found
