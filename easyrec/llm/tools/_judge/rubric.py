"""What a judge is told to do, and the form of what it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from easyrec.llm.judging import Matter
from easyrec.llm.tools._judge.config import Config, Criterion
from easyrec.llm.tools._judge.units import Unit

WHY = 300
"""Letters of a reason."""
GRADING = """You judge an answer by a rubric. {given}line "answer" holds what you judge.
{task}
For each criterion of the rubric give
- why: in one short sentence what in the answer decides it;
- grade: the number whose words fit best.
A longer answer is not better for its length.

Rubric:
{rubric}
"""
COMPARING = """You compare two answers to the same thing, A and B. {given}line "A" and the line "B" hold the answers.
{task}
{question} The criteria:
{rubric}

Give
- why: in one short sentence what decides it;
- better: "A" or "B", or "tie" where neither is better.
Neither the order in which you see the answers nor their length makes one better.
"""
GIVEN = 'First comes a line "given" with what it answers; then the '


class Verdict(BaseModel):
    """Which of two is better."""

    model_config = ConfigDict(extra="forbid")
    why: str = Field(max_length=WHY)
    better: Literal["A", "B", "tie"]


@cache
def grades_of(criteria: tuple[tuple[str, tuple[int, ...]], ...]) -> type[BaseModel]:
    """The form of grades by these criteria, each with its grades."""
    closed = ConfigDict(extra="forbid")
    fields: dict[str, Any] = {}
    for name, scale in criteria:
        grade = Literal[scale]  # type: ignore[valid-type]
        fields[name] = (
            create_model(f"Grade_{name}", __config__=closed, why=(str, Field(max_length=WHY)), grade=(grade, ...)),
            ...,
        )
    return create_model("Grades", __config__=closed, **fields)


def grading(config: Config, unit: Unit, criteria: Sequence[Criterion]) -> Matter[BaseModel]:
    """The question for the grades of an answer."""
    rules = GRADING.format(given=_given(unit), task=config.task, rubric=rubric_of(criteria))
    schema = grades_of(tuple((one.name, tuple(one.scale)) for one in criteria))
    return Matter(rules, [*_told(unit), {"answer": dict(unit.shown)}], schema)


def comparing(config: Config, first: Unit, second: Unit) -> Matter[Verdict]:
    """The question which of two answers is better; what they answer is told as it stands with the first."""
    rules = COMPARING.format(
        given=_given(first),
        task=config.task,
        question=config.compare.question,
        rubric=rubric_of(config.rubric, grades=False),
    )
    return Matter(rules, [*_told(first), {"A": dict(first.shown)}, {"B": dict(second.shown)}], Verdict)


def rubric_of(criteria: Sequence[Criterion], *, grades: bool = True) -> str:
    """A rubric in words."""
    lines = []
    for one in criteria:
        lines.append(f"- {one.name}: {one.question}")
        if grades:
            lines += [f"    {grade} = {words}" for grade, words in one.scale.items()]
    return "\n".join(lines)


def _given(unit: Unit) -> str:
    return GIVEN if unit.given else "The "


def _told(unit: Unit) -> list[Mapping[str, Any]]:
    return [{"given": dict(unit.given)}] if unit.given else []
