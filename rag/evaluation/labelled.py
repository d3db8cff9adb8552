"""Answers that people have judged, to see how far a judge agrees with them before it is relied on."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field, field_validator

from easyrec.agreement import correlation
from easyrec.errors import ConfigError, nearest
from easyrec.intervals import Interval, interval
from easyrec.llm.client import Usage
from easyrec.llm.judging import Judge
from feature_generator.config import member, members
from rag.answer import Answered
from rag.chunkers import Chunk
from rag.evaluation.case import Case
from rag.evaluation.metrics import FAMILY, MetricConfig, Tools
from rag.evaluation.questions import Question, read_lines
from rag.knowledge import Hit
from rag.records import Part

NEAR = 0.25
"""How far a verdict may be from a person's and be called the same: a step of the scale from 1 to 5."""


class Labelled(Question):
    """A line of a file of judged answers."""

    said: str = Field(max_length=100_000)
    """The answer that was judged."""
    excerpts: tuple[str, ...] = Field((), max_length=100)
    """What it was made of, in the order of the numbers that it cites."""
    known: bool = True
    """Whether it is an answer, and does not say that the documents do not say it."""
    labels: dict[str, float] = Field(min_length=1)
    """By metric what people found, from 0 to 1."""

    @field_validator("labels")
    @classmethod
    def _are_shares(cls, value: dict[str, float]) -> dict[str, float]:
        for name, label in value.items():
            if not 0.0 <= label <= 1.0:
                raise ValueError(f"'{name}' must be from 0 to 1, but is {label:g}")
        return value

    def case(self) -> Case:
        """It as if it had been answered now."""
        hits = tuple(
            Hit(Part(n, 1, f"excerpt {n}", n - 1, Chunk(text), {}, None), 1.0, {})
            for n, text in enumerate(self.excerpts, 1)
        )
        return Case(self, hits, Answered(self.said, (), hits, self.known, Usage()))


@dataclass(frozen=True)
class Agreement:
    """How far a judge agrees with people on a metric.

    Attributes:
        name: The metric.
        near: Of what it judged, the share that is near what people found, with its interval.
        distance: The mean distance.
        bias: By how much it is milder than people.
        correlation: Pearson's; NaN where either finds all alike.
        states: How many it judged, and of how many it did not, for which reason.
    """

    name: str
    near: Interval
    distance: float
    bias: float
    correlation: float
    states: Mapping[str, int]


def read_labelled(path: str | os.PathLike[str]) -> list[Labelled]:
    """The judged answers of a file.

    Raises:
        DataError: It cannot be read, or a line is none.
    """
    return read_lines(path, Labelled)


def agreement(lines: Sequence[Labelled], judge: Judge, *, level: float = 0.95, seed: int = 0) -> list[Agreement]:
    """Let a judge look at what people have judged.

    Raises:
        ConfigError: A label is about what no judge judges.
        ModelError: The judge cannot be asked.
    """
    found = []
    metrics = {name: _metric(name) for name in sorted({name for line in lines for name in line.labels})}
    for name, metric in metrics.items():  # all of them are known before one is paid for
        own = [line for line in lines if name in line.labels]
        measured = metric.measure([line.case() for line in own], Tools(5, judge))
        pairs = [
            (one.value, line.labels[name]) for one, line in zip(measured, own, strict=True) if one.value is not None
        ]
        states: dict[str, int] = {}
        for one in measured:
            states[one.state] = states.get(one.state, 0) + 1
        theirs, ours = (np.array([pair[at] for pair in pairs], np.float64) for at in (0, 1))
        apart = theirs - ours
        near = interval((np.abs(apart) <= NEAR + 1e-9).astype(float).tolist(), level, seed=seed)
        some = len(pairs) > 0
        distance, bias = (float(np.abs(apart).mean()), float(apart.mean())) if some else (math.nan, math.nan)
        together = correlation(theirs, ours, resamples=0).mean
        found.append(Agreement(name, near, distance, bias, together, states))
    return found


def _metric(name: str) -> MetricConfig:
    """The metric of a label.

    Raises:
        ConfigError: There is none that a judge judges.
    """
    judged = [each for each in members(FAMILY) if "judge" in member(FAMILY, each).Config.needs]
    if name not in judged:
        raise ConfigError(f"labels: no judge judges '{name}'{nearest(name, judged)}; known: {', '.join(judged)}")
    made: MetricConfig = member(FAMILY, name).Config()
    return made
