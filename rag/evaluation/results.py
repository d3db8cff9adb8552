"""What was measured: of each question, and as means with intervals."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import ConfigDict, Field, ValidationError

from easyrec.errors import DataError
from easyrec.intervals import Interval, interval
from feature_generator.config import StrictModel
from rag.evaluation.case import Case
from rag.evaluation.metrics import Measured, State

FORMAT = 1
STATES: tuple[State, ...] = get_args(State)
LARGEST = 1 << 30
"""Bytes of a report that is read again."""


@dataclass(frozen=True)
class Summary:
    """A metric over all questions.

    Attributes:
        name: What it is called.
        interval: Of its mean.
        states: How many questions are in which state.
    """

    name: str
    interval: Interval
    states: Mapping[str, int]

    @property
    def share(self) -> float:
        """Of the questions that it concerns, how many have a value; 1 of none."""
        concerned = sum(self.states.values()) - self.states["skipped"]
        return self.states["measured"] / concerned if concerned else 1.0


@dataclass(frozen=True)
class Evaluation:
    """What came of some questions.

    Attributes:
        name: Of what was measured.
        cases: What was asked, found and answered.
        values: By metric, of each case.
        level: Of its intervals.
        resamples: Of its intervals.
        seed: Of its intervals.
        usage: Tokens and money, by who took them.
        notes: What one should know beside the numbers.
    """

    name: str
    cases: Sequence[Case]
    values: Mapping[str, Sequence[Measured]]
    level: float = 0.95
    resamples: int = 10_000
    seed: int = 0
    usage: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def summaries(self, kind: str | None = None) -> list[Summary]:
        """Each metric, over all questions or over those of a kind."""
        chosen = [n for n, case in enumerate(self.cases) if kind is None or case.question.kind == kind]
        return [self._summary(name, [measured[n] for n in chosen]) for name, measured in self.values.items()]

    def _summary(self, name: str, measured: Sequence[Measured]) -> Summary:
        values = [one.value for one in measured if one.value is not None]
        states: dict[str, int] = {state: sum(one.state == state for one in measured) for state in STATES}
        return Summary(name, interval(values, self.level, self.resamples, self.seed), states)

    def kinds(self) -> list[str]:
        """The kinds of questions that there are."""
        return list(dict.fromkeys(case.question.kind for case in self.cases))

    def by_question(self) -> dict[str, dict[str, float]]:
        """By metric and question the values that there are."""
        return {
            name: {
                case.question.key: one.value
                for case, one in zip(self.cases, measured, strict=True)
                if one.value is not None
            }
            for name, measured in self.values.items()
        }

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return {
            "format": FORMAT,
            "name": self.name,
            "level": self.level,
            "questions": len(self.cases),
            "stale": sum(not case.known for case in self.cases),
            "failed": sum(bool(case.failed) for case in self.cases),
            "notes": list(self.notes),
            "usage": {who: dict(took) for who, took in self.usage.items()},
            "metrics": [_told(one) for one in self.summaries()],
            "kinds": {kind: [_told(one) for one in self.summaries(kind)] for kind in self.kinds()},
            "cases": [self._case(number) for number in range(len(self.cases))],
        }

    def _case(self, number: int) -> dict[str, Any]:
        case = self.cases[number]
        said = case.says()
        says = [bool(row.any()) for row in said] if case.question.references else [None] * len(case.hits)
        hits = [
            {"source": hit.part.source, "path": list(hit.part.chunk.path), "score": hit.score, "right": right}
            for hit, right in zip(case.hits, says, strict=True)
        ]
        told: dict[str, Any] = {
            "id": case.question.key,
            "kind": case.question.kind,
            "question": case.question.question,
            "known": case.known,
            "hits": hits,
        }
        if case.failed:
            told["failed"] = case.failed
        if case.question.answer:
            told["right_answer"] = case.question.answer
        if case.answered is not None:
            told |= {"answer": case.answered.text, "answered": case.answered.known}
        told["values"] = {name: measured[number].value for name, measured in self.values.items()}
        told["why"] = {
            name: {"state": measured[number].state, "told": measured[number].told}
            for name, measured in self.values.items()
            if measured[number].state not in ("measured", "skipped") or measured[number].told is not None
        }
        return told


def _told(one: Summary) -> dict[str, Any]:
    ends = {"mean": one.interval.mean, "low": one.interval.low, "high": one.interval.high}
    finite = {key: value if math.isfinite(value) else None for key, value in ends.items()}
    return {"name": one.name, **finite, "count": one.interval.count, "states": dict(one.states)}


class _Loose(StrictModel):
    """Of a report only what is compared is looked at."""

    model_config = ConfigDict(extra="ignore")


class FormerCase(_Loose):
    """A question of a former report."""

    id: str
    question: str = ""
    values: dict[str, float | None]


class Former(_Loose):
    """A report that was written before."""

    format: Literal[1]
    name: str = Field("", max_length=1000)
    cases: list[FormerCase] = Field(max_length=200_000)

    def reworded(self, questions: Mapping[str, str]) -> list[str]:
        """Of questions by what they are called, those that were asked in other words then: they are other questions."""
        return [
            case.id for case in self.cases if case.question and questions.get(case.id, case.question) != case.question
        ]

    def by_question(self, without: Collection[str] = ()) -> dict[str, dict[str, float]]:
        """By metric and question the values that there are, but for some questions."""
        found: dict[str, dict[str, float]] = {}
        for case in self.cases:
            if case.id in without:
                continue
            for name, value in case.values.items():
                if value is not None:
                    found.setdefault(name, {})[case.id] = value
        return found


def read_report(path: str | Path) -> Former:
    """A report that `as_json` gave.

    Raises:
        DataError: It cannot be read, or is none.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(content) > LARGEST:
        raise DataError(f"{path}: is larger than {LARGEST:,} bytes")
    try:
        json.loads(content)
        return Former.model_validate_json(content)
    except (ValueError, ValidationError, RecursionError):
        raise DataError(f"{path}: is no report of an evaluation; 'easyrec rag eval --output' writes one") from None
