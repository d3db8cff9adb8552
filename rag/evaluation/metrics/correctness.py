"""`correctness`: how well an answer agrees with the right one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import BaseModel, Field

from rag.cleaning import CITED
from rag.evaluation.case import Case
from rag.evaluation.judge import Matter, middle
from rag.evaluation.metrics import FAILED, SKIPPED, Measured, MetricConfig, Tools

RULES = """You compare an answer with the right answer to a question. Say first, in a sentence, what the answer has right, what is wrong in it
and what is missing. Then give a score, by what the answer means and not by its words:
5: all that the right answer says, and nothing that contradicts it;
4: right, but something of little weight is missing or wrong;
3: the larger part is right;
2: the larger part is wrong or missing;
1: wrong, beside the question, or no answer."""


class Score(BaseModel):
    """Of an answer; the reason comes first, so that the score rests on it."""

    reason: str = Field(max_length=20_000)
    score: Literal[1, 2, 3, 4, 5]


class Config(MetricConfig):
    """Config of `correctness`: the median of the votes, 1 to 5, as 0 to 1.

    An answer that says that the documents do not say it, where there is a right one, is worth 0 and not judged.
    """

    type: Literal["correctness"] = "correctness"
    needs: ClassVar[frozenset[str]] = frozenset({"answer", "judge"})

    def measure(self, cases: Sequence[Case], tools: Tools) -> list[Measured]:
        """Of each question whose right answer is known."""
        assert tools.judge is not None
        found = [FAILED if case.failed else SKIPPED for case in cases]
        matters, numbers = [], []
        for number, case in enumerate(cases):
            if case.answered is None or not case.question.answer or case.question.kind == "unanswerable":
                continue
            if not case.answered.known:
                found[number] = Measured(0.0, "measured", {"reason": "it says that the documents do not say it"})
                continue
            lines = [
                *({"before": turn.content, "by": turn.role} for turn in case.question.history),
                {"question": case.question.question},
                {"right answer": case.question.answer},
                {"answer": CITED.sub("", case.answered.text).strip()},
            ]
            matters.append(Matter(RULES, lines, Score))
            numbers.append(number)
        for number, said in zip(numbers, tools.judge.each(matters), strict=True):
            if not said.enough:
                found[number] = Measured(None, "refused" if said.refused > said.unparsed else "unparsed")
                continue
            value = (middle([one.score for one in said.values]) - 1.0) / 4.0
            told = {"scores": [one.score for one in said.values], "reason": said.values[0].reason[:1000]}
            found[number] = Measured(value, "measured", told)
        return found
