"""Statements that are checked against texts, each verdict with the words that it rests on."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal

from annotated_types import Len
from pydantic import BaseModel, Field, create_model

from easyrec.llm.judging import CONTROLS, Judge, Matter, Votes, majority
from rag.evaluation.metrics import Measured
from rag.evaluation.questions import bare

MOST = 40
"""Statements that are checked at a time; of a longer answer the first ones."""
QUOTED = 3
"""Letters and digits of a quotation, at least, that shows anything."""
RULES = """You check statements against excerpts. First come the excerpts, each with a number "n"; then the statements, each with a
number "s"{which}. For each statement, in the order of their numbers, give
- evidence: the words of an excerpt, copied exactly, that the statement rests on; empty where there are none;
- verdict: "supported" where the excerpts say it or it follows from them, "contradicted" where they say otherwise, "not_stated" else.
What you know besides does not count."""
CITING = ', and the number "cites" of the one excerpt that it is checked against'
WORST = ("contradicted", "not_stated", "supported")


class Verdict(BaseModel):
    """Of one statement."""

    s: int
    evidence: str = Field(max_length=20_000)
    verdict: Literal["supported", "contradicted", "not_stated"]


@cache
def verdicts_on(count: int) -> type[BaseModel]:
    """So many verdicts."""
    return create_model("Verdicts", verdicts=(Annotated[list[Verdict], Len(count, count)], ...))


def control_place(statements: Sequence[str]) -> tuple[int, str]:
    """Where, among statements, that stands which no document says, and what it is; drawn by what they say."""
    drawn = zlib.crc32("\0".join(statements).encode("utf-8", "surrogatepass"))
    return drawn % (len(statements) + 1), CONTROLS[drawn // 7 % len(CONTROLS)]


def check(
    judge: Judge, asked: Sequence[tuple[Sequence[str], Sequence[Mapping[str, Any]], Sequence[int] | None]]
) -> list[Measured]:
    """The share of statements that the excerpts support, for each answer.

    A verdict that rests on words which are in no excerpt is none. In each list stands a statement that nothing supports: a
    vote that finds it supported is led, and does not count.

    Args:
        judge: Who looks.
        asked: Statements, excerpts as objects with `n` and `text`, and the number of the excerpt that each statement cites
            where it is checked against that one alone.
    """
    matters, places = [], []
    for statements, shown, cites in asked:
        place, control = control_place(statements)
        told = [*statements[:place], control, *statements[place:]]
        numbers = None if cites is None else [*cites[:place], int(shown[0]["n"]), *cites[place:]]
        lines: list[Mapping[str, Any]] = list(shown)
        for number, text in enumerate(told, 1):
            cited = {} if numbers is None else {"cites": numbers[number - 1]}
            lines.append({"s": number, "statement": text, **cited})
        rules = RULES.format(which="" if cites is None else CITING)
        matters.append(Matter(rules, lines, verdicts_on(len(told))))
        places.append(place)
    votes = judge.each(matters)
    return [_share(one, said, place) for one, said, place in zip(asked, votes, places, strict=True)]


def _share(
    asked: tuple[Sequence[str], Sequence[Mapping[str, Any]], Sequence[int] | None], votes: Votes[Any], place: int
) -> Measured:
    """What the votes on one answer come to."""
    statements, shown, cites = asked
    counts = {"votes": len(votes.values), "unparsed": votes.unparsed, "refused": votes.refused, "led": 0}
    wanted = list(range(1, len(statements) + 2))
    texts = {int(line["n"]): bare(line["text"]) for line in shown}
    kept: list[list[str]] = []
    for vote in votes.values:
        said: list[Verdict] = vote.verdicts
        if [one.s for one in said] != wanted:
            counts["unparsed"] += 1
            continue
        found = []
        for number, one in enumerate(said):
            own = None if cites is None or number == place else cites[number - (number > place)]
            found.append(_held(one, texts if own is None else {own: texts.get(own, "")}))
        if found[place] == "supported" or said[place].verdict == "supported":
            counts["led"] += 1
            continue
        kept.append(found[:place] + found[place + 1 :])
    asked_for = len(votes.values) + votes.unparsed + votes.refused
    if 2 * len(kept) <= asked_for:
        states = {"led": counts["led"], "refused": counts["refused"], "unparsed": counts["unparsed"]}
        state: Any = max(states, key=lambda name: states[name])
        return Measured(None, state, counts)
    verdicts = [majority([vote[number] for vote in kept], WORST) for number in range(len(statements))]
    told = [{"statement": text, "verdict": verdict} for text, verdict in zip(statements, verdicts, strict=True)]
    value = sum(verdict == "supported" for verdict in verdicts) / len(verdicts)
    return Measured(value, "measured", {**counts, "statements": told})


def _held(one: Verdict, texts: Mapping[int, str]) -> str:
    """A verdict; what is supported by words that nobody wrote is not stated."""
    if one.verdict != "supported":
        return one.verdict
    quoted = bare(one.evidence)
    shown = len(quoted) >= QUOTED and any(quoted in text for text in texts.values())
    return "supported" if shown else "not_stated"
