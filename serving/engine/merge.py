"""Candidates of several sources as one list without repetitions."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from serving.engine.recall import Found
from serving.engine.rows import Floats, Ints, Mask

Bits = npt.NDArray[np.int64]
_own = threading.local()


@dataclass
class Candidates:
    """Items on their way through the stages: arrays side by side, the best first.

    Attributes:
        rows: (n,) numbers of items.
        sources: (n,) a bit for each source that gave the item.
        scores: (n,) by which they are ordered.
        tasks: By task, what a model said of each.
        propensity: (n,) how likely each stood where it stands, as far as chance had a say; None: it had none.
        notes: What stages tell of items, by name, for traces.
    """

    rows: Ints
    sources: Bits
    scores: Floats
    tasks: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    propensity: Floats | None = None
    notes: dict[str, npt.NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def copy(self) -> Candidates:
        """The same in arrays of their own."""
        return Candidates(
            self.rows.copy(),
            self.sources.copy(),
            self.scores.copy(),
            {name: values.copy() for name, values in self.tasks.items()},
            None if self.propensity is None else self.propensity.copy(),
            {name: values.copy() for name, values in self.notes.items()},
        )

    def take(self, places: Ints | Mask) -> Candidates:
        """Some of them, in the order of the places."""
        return Candidates(
            self.rows[places],
            self.sources[places],
            self.scores[places],
            {name: values[places] for name, values in self.tasks.items()},
            None if self.propensity is None else self.propensity[places],
            {name: values[places] for name, values in self.notes.items()},
        )


def scratch(name: str, rows: int, kind: type[np.generic]) -> npt.NDArray[Any]:
    """(N,) an array of this thread, whose content is whatever it was left with."""
    held: npt.NDArray[Any] | None = getattr(_own, name, None)
    if held is None or len(held) != rows:
        held = np.zeros(rows, kind)
        setattr(_own, name, held)
    return held


def merge(
    found: Sequence[Found],
    names: Sequence[str],
    weights: Sequence[float],
    quotas: Mapping[str, int],
    count: int,
    rows: int,
) -> Candidates:
    """The sources' items in turn: from a source of twice the weight twice as many are taken.

    Args:
        found: What each source gave.
        names: The sources' names.
        weights: Their weights.
        quotas: By source, how many of its best are among the candidates in any case.
        count: How many candidates at most.
        rows: N items of the catalogue.
    """
    every = np.concatenate([one.rows for one in found]) if found else np.zeros(0, np.int64)
    ranks = [(np.arange(len(one.rows)) + 0.5) / weight for one, weight in zip(found, weights, strict=True)]
    keys = np.concatenate(ranks) if ranks else np.zeros(0)
    bits = scratch("bits", rows, np.int64)
    bits[every] = 0
    for number, one in enumerate(found):
        bits[one.rows] |= 1 << number
    order = np.argsort(keys, kind="stable")
    ordered = every[order]
    first = scratch("first", rows, np.int64)
    places = np.arange(len(ordered))
    first[ordered[::-1]] = places[::-1]
    once = first[ordered] == places
    ordered, keys = ordered[once], keys[order][once]
    if len(ordered) > count:
        must = np.zeros(len(ordered), bool)
        for number, (name, one) in enumerate(zip(names, found, strict=True)):
            if quotas.get(name):
                chosen = scratch("chosen", rows, np.bool_)
                chosen[ordered] = False
                chosen[one.rows[: quotas[name]]] = True
                must |= chosen[ordered] & ((bits[ordered] >> number) & 1).astype(bool)
        ordered, keys = ordered[_kept(must, count)], keys[_kept(must, count)]
    return Candidates(ordered, bits[ordered], 1.0 / (1.0 + keys))


def _kept(must: Mask, count: int) -> Mask:
    """The first of a list, but so that all that must stay do."""
    if not must.any():
        kept = np.zeros(len(must), bool)
        kept[:count] = True
        return kept
    others = max(0, count - int(must.sum()))
    return must | (~must & (np.cumsum(~must) <= others))


def best_with_quotas(scores: Floats, sources: Bits, quotas: Mapping[int, int], count: int) -> Ints:
    """Places of the best, with at least so many of each source as its quota says.

    Args:
        scores: (n,) of candidates; NaN comes last.
        sources: (n,) bits of sources.
        quotas: By number of a source.
        count: How many at most.
    """
    order = np.argsort(np.where(np.isnan(scores), np.inf, -scores), kind="stable")
    if len(order) <= count:
        return order
    must = np.zeros(len(order), bool)
    for number, quota in quotas.items():
        own = ((sources[order] >> number) & 1).astype(bool)
        must |= own & (np.cumsum(own) <= quota)
    return order[_kept(must, count)]
