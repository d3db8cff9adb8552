"""`abstention`: whether it is said that the documents do not say it where they do not, and only there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from rag.evaluation.case import Case
from rag.evaluation.metrics import FAILED, SKIPPED, Measured, MetricConfig, Tools


class Config(MetricConfig):
    """Config of `abstention`: 1 where an unanswerable question is not answered, and where another one is."""

    type: Literal["abstention"] = "abstention"
    needs: ClassVar[frozenset[str]] = frozenset({"answer"})

    def measure(self, cases: Sequence[Case], tools: Tools) -> list[Measured]:
        """Of each question that was answered."""
        return [
            (FAILED if case.failed else SKIPPED)
            if case.answered is None
            else Measured(float(case.answered.known == (case.question.kind != "unanswerable")))
            for case in cases
        ]
