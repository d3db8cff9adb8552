"""`context_relevance`: how much of what was found helps to answer the question."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Len
from pydantic import BaseModel, Field, create_model

from easyrec.llm.judging import CONTROLS, Matter, Votes, majority
from rag.evaluation.case import Case, excerpts
from rag.evaluation.metrics import FAILED, SKIPPED, Measured, MetricConfig, Tools

RULES = """You judge what a search has found. First comes the question, then the excerpts, each with a number "n". For each excerpt, in the
order of their numbers, say whether it is "relevant" (it says the answer or a part of it), "partly" (it does not say it, but helps to
find or understand it) or "irrelevant"."""
WORTH = {"irrelevant": 0.0, "partly": 0.5, "relevant": 1.0}


class Relevance(BaseModel):
    """Of one excerpt."""

    n: int
    verdict: Literal["relevant", "partly", "irrelevant"]


@cache
def relevance_of(count: int) -> type[BaseModel]:
    """Of so many excerpts."""
    return create_model("Relevances", verdicts=(Annotated[list[Relevance], Len(count, count)], ...))


class Config(MetricConfig):
    """Config of `context_relevance`: the mean over what was found of 1 for what is relevant and 0.5 for what is partly.

    Among the excerpts stands one that is about something else; a judge that finds it relevant is led.
    """

    type: Literal["context_relevance"] = "context_relevance"
    needs: ClassVar[frozenset[str]] = frozenset({"judge"})
    most: int = Field(20, ge=1, le=100)
    """Excerpts that are judged: the best ones of a longer list."""

    def measure(self, cases: Sequence[Case], tools: Tools) -> list[Measured]:
        """Of each question for which something was found; nothing is worth 0."""
        assert tools.judge is not None
        found = [Measured(0.0) if case.searched else FAILED for case in cases]
        matters, numbers, places = [], [], []
        for number, case in enumerate(cases):
            hits = case.hits[: self.most]
            if case.question.kind == "unanswerable":
                found[number] = SKIPPED
            if not hits or case.question.kind == "unanswerable":
                continue
            drawn = zlib.crc32(case.question.key.encode())
            place = drawn % (len(hits) + 1)
            shown = excerpts(hits)
            shown.insert(place, {"n": 0, "document": "notes", "text": CONTROLS[drawn // 7 % len(CONTROLS)]})
            lines = [{"question": case.question.question}, *({**one, "n": n} for n, one in enumerate(shown, 1))]
            matters.append(Matter(RULES, lines, relevance_of(len(shown))))
            numbers.append(number)
            places.append(place)
        for number, said, place in zip(numbers, tools.judge.each(matters), places, strict=True):
            found[number] = _worth(said, place)
        return found


def _worth(votes: Votes[Any], place: int) -> Measured:
    counts = {"led": 0, "refused": votes.refused, "unparsed": votes.unparsed}
    kept: list[list[str]] = []
    for vote in votes.values:
        said: list[Relevance] = vote.verdicts
        if [one.n for one in said] != list(range(1, len(said) + 1)):
            counts["unparsed"] += 1
        elif said[place].verdict != "irrelevant":
            counts["led"] += 1
        else:
            kept.append([one.verdict for n, one in enumerate(said) if n != place])
    if 2 * len(kept) <= len(votes.values) + votes.refused + votes.unparsed:
        state: Any = max(counts, key=lambda name: counts[name])
        return Measured(None, state, counts)
    verdicts = [majority(some, list(WORTH)) for some in zip(*kept, strict=True)]
    return Measured(sum(map(WORTH.__getitem__, verdicts)) / len(verdicts), "measured", {**counts, "verdicts": verdicts})
