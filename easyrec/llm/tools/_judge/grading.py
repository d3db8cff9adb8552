"""Grades by a rubric: what each judge said of each answer, and what that comes to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from easyrec.llm.asking import Asked
from easyrec.llm.judging import Judge, Votes
from easyrec.llm.telling import seen
from easyrec.llm.tools._judge.config import Config
from easyrec.llm.tools._judge.rubric import grading
from easyrec.llm.tools._judge.units import Unit


@dataclass(frozen=True)
class Graded:
    """What J judges said of n answers by C criteria, with V votes each.

    Attributes:
        votes: (J, C, n, V), NaN where there is none.
        refused: (J, C, n), how many votes were refused.
        whys: By judge, criterion and answer a reason of the grade.
        asked: By judge what it took.
    """

    votes: np.ndarray
    refused: np.ndarray
    whys: list[list[list[str]]] = field(repr=False)
    asked: list[Asked[Any]] = field(repr=False)

    @property
    def missing(self) -> np.ndarray:
        """(J, C, n), how many votes could not be read."""
        return np.asarray(np.isnan(self.votes).sum(3) - self.refused)

    @property
    def grades(self) -> np.ndarray:
        """(J, C, n), the median of the votes; NaN where not more than half of them are there."""
        enough = (~np.isnan(self.votes)).sum(3) * 2 > self.votes.shape[3]
        found = np.full(enough.shape, np.nan)
        found[enough] = np.nanmedian(self.votes[enough], axis=1)
        return found

    @property
    def panel(self) -> np.ndarray:
        """(C, n), the mean of the judges' grades; NaN where none has one."""
        return mean_of(self.grades)


def mean_of(values: np.ndarray) -> np.ndarray:
    """Means over the first axis of what is there; NaN where nothing is."""
    there = ~np.isnan(values)
    count = there.sum(0)
    total = np.where(there, values, 0.0).sum(0)
    found: np.ndarray = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return found


def overall(config: Config, panel: np.ndarray) -> np.ndarray:
    """(n,) the weighted mean of all criteria on a scale from 0 to 1; NaN where one is missing."""
    weights = np.array([one.weight for one in config.rubric])
    shares = np.stack([one.share(row) for one, row in zip(config.rubric, panel, strict=True)])
    return np.asarray(weights @ shares / weights.sum())


def grade(
    config: Config, judges: Sequence[Judge], units: Sequence[Unit], progress: Callable[[int], object] | None = None
) -> Graded:
    """Let judges grade answers.

    Raises:
        DataError: More votes are none than may be.
        ModelError: A judge cannot be asked, or its budget is spent.
    """
    shape = (len(judges), len(config.rubric), len(units))
    votes, refused = np.full((*shape, config.votes), np.nan), np.zeros(shape, np.int64)
    whys: list[list[list[str]]] = [[[""] * len(units) for _ in config.rubric] for _ in judges]
    asked = []
    groups = [config.rubric] if config.together else [[one] for one in config.rubric]
    matters = [grading(config, unit, group) for group in groups for unit in units]
    for j, judge in enumerate(judges):
        said, took = judge.ask(matters, max_failed=config.max_failed, progress=progress)
        asked.append(took)
        for g, group in enumerate(groups):
            for n in range(len(units)):
                one = said[g * len(units) + n]
                for own in group:
                    c = config.rubric.index(own)
                    values = [getattr(value, own.name) for value in one.values]
                    votes[j, c, n, : len(values)] = [value.grade for value in values]
                    refused[j, c, n] = one.refused
                    whys[j][c][n] = _why(one, own.name)
    return Graded(votes, refused, whys, asked)


def _why(votes: Votes[Any], name: str) -> str:
    """A reason of the median, in one line."""
    values = sorted((getattr(value, name) for value in votes.values), key=lambda value: value.grade)
    return " ".join(seen(values[(len(values) - 1) // 2].why).split()) if values else ""
