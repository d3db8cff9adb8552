"""`correctness`: how well an answer agrees with the right one."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Len
from pydantic import BaseModel, Field

from easyrec.llm.judging import CONTROLS, Matter, Votes, middle
from rag.cleaning import CITED
from rag.evaluation.case import Case
from rag.evaluation.metrics import FAILED, SKIPPED, Measured, MetricConfig, Tools

RULES = """You compare two answers to a question with the right answer, each by itself. The answers have a number "n". For each of them, in the order of
their numbers, say first, in a sentence, what it has right, what is wrong in it and what is missing. Then give a score, by what the answer
means and not by its words:
5: all that the right answer says, and nothing that contradicts it;
4: right, but something of little weight is missing or wrong;
3: the larger part is right;
2: the larger part is wrong or missing;
1: wrong, beside the question, or no answer."""
NONSENSE = 2
"""The highest score that an answer may be given which is about something else."""


class Score(BaseModel):
    """Of an answer; the reason comes first, so that the score rests on it."""

    n: int
    reason: str = Field(max_length=20_000)
    score: Literal[1, 2, 3, 4, 5]


class Scores(BaseModel):
    """Of both."""

    scores: Annotated[list[Score], Len(2, 2)]


class Config(MetricConfig):
    """Config of `correctness`: the median of the votes, 1 to 5, as 0 to 1.

    Beside the answer stands one that is about something else; a judge that finds that one good is led. An answer that says that
    the documents do not say it, where there is a right one, is worth 0 and not judged.
    """

    type: Literal["correctness"] = "correctness"
    needs: ClassVar[frozenset[str]] = frozenset({"answer", "judge"})

    def measure(self, cases: Sequence[Case], tools: Tools) -> list[Measured]:
        """Of each question whose right answer is known."""
        assert tools.judge is not None
        found = [FAILED if case.failed else SKIPPED for case in cases]
        matters, numbers, places = [], [], []
        for number, case in enumerate(cases):
            if case.answered is None or not case.question.answer or case.question.kind == "unanswerable":
                continue
            if not case.answered.known:
                found[number] = Measured(0.0, "measured", {"reason": "it says that the documents do not say it"})
                continue
            drawn = zlib.crc32(case.question.key.encode("utf-8", "surrogatepass"))
            answers = [CONTROLS[drawn // 2 % len(CONTROLS)]]
            answers.insert(1 - drawn % 2, CITED.sub("", case.answered.text).strip())
            lines: list[dict[str, Any]] = [
                *({"before": turn.content, "by": turn.role} for turn in case.question.history),
                {"question": case.question.question},
                {"right answer": case.question.answer},
                *({"n": n, "answer": answer} for n, answer in enumerate(answers, 1)),
            ]
            matters.append(Matter(RULES, lines, Scores))
            numbers.append(number)
            places.append(1 - drawn % 2)
        for number, said, place in zip(numbers, tools.judge.each(matters), places, strict=True):
            found[number] = _score(said, place)
        return found


def _score(votes: Votes[Scores], place: int) -> Measured:
    counts = {"led": 0, "refused": votes.refused, "unparsed": votes.unparsed}
    kept: list[Score] = []
    for vote in votes.values:
        if [one.n for one in vote.scores] != [1, 2]:
            counts["unparsed"] += 1
        elif vote.scores[1 - place].score > NONSENSE:
            counts["led"] += 1
        else:
            kept.append(vote.scores[place])
    if 2 * len(kept) <= len(votes.values) + votes.refused + votes.unparsed:
        state: Any = max(counts, key=lambda name: counts[name])
        return Measured(None, state, counts)
    told = {**counts, "scores": [one.score for one in kept], "reason": kept[0].reason[:1000]}
    return Measured((middle([one.score for one in kept]) - 1.0) / 4.0, "measured", told)
