"""Comparisons of two answers to the same thing, each in both orders: a verdict that turns with the order is a tie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from easyrec.llm.asking import Asked
from easyrec.llm.judging import Judge, Votes
from easyrec.llm.telling import seen
from easyrec.llm.tools._judge.config import Config
from easyrec.llm.tools._judge.rubric import Verdict, comparing
from easyrec.llm.tools._judge.units import Unit

WON, TIE, LOST = 1.0, 0.0, -1.0
"""What a verdict says of the first system of a pair; NaN: nothing."""


@dataclass(frozen=True)
class Compared:
    """What J judges said of P pairs of answers, in both orders, with V votes each.

    Attributes:
        pairs: The answers.
        votes: (J, P, 2, V), what each says of the first of the pair; in the second order it stood behind the other one.
        refused: (J, P, 2)
        whys: By judge and pair a reason.
        asked: By judge what it took.
    """

    pairs: list[tuple[Unit, Unit]] = field(repr=False)
    votes: np.ndarray
    refused: np.ndarray
    whys: list[list[str]] = field(repr=False)
    asked: list[Asked[Any]] = field(repr=False)

    @property
    def orders(self) -> np.ndarray:
        """(J, P, 2), the majority of the votes in each order; NaN where not more than half of them are there."""
        return majorities(self.votes)

    @property
    def verdicts(self) -> np.ndarray:
        """(J, P), what both orders say; a tie where they differ, NaN where one of them says nothing."""
        first, second = np.moveaxis(self.orders, -1, 0)
        return np.where(np.isnan(first + second), np.nan, np.where(first == second, first, TIE))

    @property
    def flipped(self) -> np.ndarray:
        """(J, P), whether the verdict turned with the order."""
        return np.asarray(self.orders[..., 0] * self.orders[..., 1] < 0)

    @property
    def panel(self) -> np.ndarray:
        """(P,), the majority of the judges; a tie where there is none."""
        there = ~np.isnan(self.verdicts)
        return np.where(there.any(0), np.sign(np.where(there, self.verdicts, 0.0).sum(0)), np.nan)


def majorities(votes: np.ndarray) -> np.ndarray:
    """(..., V) -> (...): what most say; a tie where as many say something else, NaN where half or more say nothing."""
    counts = np.stack([(votes == value).sum(-1) for value in (WON, TIE, LOST)])
    most = counts.max(0)
    sole = (counts == most).sum(0) == 1
    found = np.where(sole, np.array([WON, TIE, LOST])[counts.argmax(0)], TIE)
    return np.where(counts.sum(0) * 2 > votes.shape[-1], found, np.nan)


def pairs_of(config: Config, units: Sequence[Unit], systems: Sequence[str]) -> list[tuple[Unit, Unit]]:
    """The answers of two systems to the same id; the baseline stands second."""
    by_key = {(unit.id, unit.system): unit for unit in units}
    ids = list(dict.fromkeys(unit.id for unit in units))
    baseline = config.compare.baseline
    met = (
        list(combinations(systems, 2)) if baseline is None else [(one, baseline) for one in systems if one != baseline]
    )
    there = [(by_key.get((key, a)), by_key.get((key, b))) for key in ids for a, b in met]
    return [(a, b) for a, b in there if a is not None and b is not None]


def compare(
    config: Config,
    judges: Sequence[Judge],
    pairs: Sequence[tuple[Unit, Unit]],
    progress: Callable[[int], object] | None = None,
) -> Compared:
    """Let judges compare answers.

    Raises:
        DataError: More votes are none than may be.
        ModelError: A judge cannot be asked, or its budget is spent.
    """
    votes = np.full((len(judges), len(pairs), 2, config.votes), np.nan)
    refused = np.zeros(votes.shape[:3], np.int64)
    whys, asked = [], []
    matters = [comparing(config, *order) for a, b in pairs for order in ((a, b), (b, a))]
    for j, judge in enumerate(judges):
        said, took = judge.ask(matters, max_failed=config.max_failed, progress=progress)
        asked.append(took)
        for p in range(len(pairs)):
            for order, sign in enumerate((WON, LOST)):
                one = said[2 * p + order]
                told = [{"A": sign, "B": -sign, "tie": TIE}[value.better] for value in one.values]
                votes[j, p, order, : len(told)] = told
                refused[j, p, order] = one.refused
        whys.append([_why(said[2 * p]) for p in range(len(pairs))])
    return Compared(list(pairs), votes, refused, whys, asked)


def _why(votes: Votes[Verdict]) -> str:
    """The first reason, in one line."""
    return " ".join(seen(votes.values[0].why).split()) if votes.values else ""
