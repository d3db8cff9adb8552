"""What the model is told."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from easyrec.llm.client import Message, Parsed, system, user
from easyrec.llm.ranking.cases import Case
from easyrec.llm.telling import line, seen
from easyrec.llm.texts import DATA

MOST = 999
"""The largest number that an answer may hold; of those only the ones that were shown count."""
WHO = """\
You rank for the recommender of a shop. You are told what a person took, a line each, the oldest first{query}{then}."""
QUERY = ", and what this person searches now"
LISTWISE = (
    " Answer `order`: the numbers of {all}, first that of the one that this person takes next most likely, each once."
)
PAIRWISE = """ Answer `better`: "A" or "B", the one that this person takes next more likely. Neither the order in which you see them nor
the length of their texts makes one better."""
POINTWISE = """ Answer `grade`, how likely this person takes it next: 1 not at all, 2 hardly, 3 perhaps, 4 likely, 5 very likely."""
ABOUT = "\nWhat it is about: {about}"


class Better(BaseModel):
    """Which of two is better."""

    model_config = ConfigDict(extra="ignore")
    better: Literal["A", "B"]


class Grade(BaseModel):
    """How good one is."""

    model_config = ConfigDict(extra="ignore")
    grade: Literal[1, 2, 3, 4, 5]


class Likely(Grade):
    """The same with what the probabilities of its tokens say.

    Attributes:
        expected: The mean grade.
    """

    expected: float


@cache
def order_of(count: int) -> type[BaseModel]:
    """The form of an order of so many; models that repeat themselves end before twice as many."""
    number = Annotated[int, Field(ge=0, le=MOST)]
    return create_model(
        "Order",
        __config__=ConfigDict(extra="ignore"),
        order=(Annotated[list[number], Field(max_length=2 * count)], ...),
    )


def rules_of(kind: str, about: str | None, *, query: bool, named: int | None = None) -> str:
    """What the model is told to do."""
    then = {
        "listwise": ", and then numbered candidates, which stand in no order",
        "pairwise": ", and then two candidates, A and B",
        "pointwise": ", and then a candidate",
    }[kind]
    how = {
        "listwise": LISTWISE.format(all="all candidates" if named is None else f"the best {named} candidates"),
        "pairwise": PAIRWISE,
        "pointwise": POINTWISE,
    }[kind]
    told = ABOUT.format(about=seen(about)) if about else ""
    return WHO.format(query=QUERY if query else "", then=then) + how + told + DATA


def head_of(case: Case) -> list[dict[str, Any]]:
    """The lines before candidates."""
    told: list[dict[str, Any]] = [dict(one) for one in case.history]
    return told if case.query is None else [*told, {"search": case.query}]


def listed(case: Case, shown: Sequence[int]) -> str:
    """The lines of a request with numbered candidates."""
    candidates = [{"candidate": place + 1, "text": case.candidates[one]} for place, one in enumerate(shown)]
    return "\n".join(map(line, [*head_of(case), *candidates]))


def paired(case: Case, first: int, second: int) -> str:
    """The lines of a request with two."""
    two = [{"A": case.candidates[first]}, {"B": case.candidates[second]}]
    return "\n".join(map(line, [*head_of(case), *two]))


def single(case: Case, one: int) -> str:
    """The lines of a request with one."""
    return "\n".join(map(line, [*head_of(case), {"candidate": case.candidates[one]}]))


def talk_of(rules: str, shots: Sequence[tuple[str, dict[str, Any]]], told: str) -> list[Message]:
    """The messages: rules, what was shown and answered before, and what is asked now."""
    talk = [system(rules)]
    for before, answer in shots:
        talk += [user(before), Message("assistant", json.dumps(answer, ensure_ascii=False))]
    return [*talk, user(told)]


def expected(grades: Sequence[int]) -> Callable[[Parsed[Any]], Grade]:
    """Makes a mean grade of the probabilities of tokens, where the server tells them; else the grade is all there is."""

    def made(parsed: Parsed[Grade]) -> Grade:
        said = str(parsed.value.grade)
        for token in reversed(parsed.answer.tokens):
            if token.text.strip() == said:  # the others there are grades too
                chances = {grade: _chance(token.others, grade) for grade in grades}
                whole = sum(chances.values())
                if whole > 0.0:
                    mean = sum(grade * chance for grade, chance in chances.items()) / whole
                    return Likely(grade=parsed.value.grade, expected=mean)
        return parsed.value

    return made


def _chance(others: Any, grade: int) -> float:
    return sum(math.exp(min(logprob, 0.0)) for text, logprob in others.items() if text.strip() == str(grade))
