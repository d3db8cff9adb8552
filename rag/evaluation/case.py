"""`Case`: a question, what was found for it and what was answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from easyrec.llm.telling import seen
from easyrec.retrieval.metrics import Found
from rag.answer import Answered
from rag.evaluation.questions import Question
from rag.knowledge import Hit

NOWHERE = 1 << 40
"""The rank of what was not found."""


@dataclass(frozen=True)
class Case:
    """A question that was asked.

    Attributes:
        question: It.
        hits: What was found, the best first.
        answered: What was answered; None where nobody was asked.
        known: Whether the documents still say it: all of its references are in the knowledge base. One that lost some is
            stale, and what was found for it is not measured.
        failed: Why it could not be answered; empty where it could, or was not wanted.
        searched: Whether something could be looked for.
    """

    question: Question
    hits: tuple[Hit, ...] = ()
    answered: Answered | None = None
    known: bool = True
    failed: str = ""
    searched: bool = True

    def says(self) -> np.ndarray:
        """(hits, references) bool: which chunk says which of the references."""
        told = [
            [ref.is_in(hit.part.source, hit.part.chunk.text, hit.text) for ref in self.question.references]
            for hit in self.hits
        ]
        return np.array(told, bool).reshape(len(self.hits), len(self.question.references))

    def shown(self) -> tuple[Hit, ...]:
        """What the model that answered has seen; where nobody answered, what was found."""
        return self.hits if self.answered is None else self.answered.hits


def found_of(cases: Sequence[Case]) -> Found:
    """What was found, as metrics of retrieval take it: the references are what is wanted."""
    ranks: list[int] = []
    for case in cases:
        says = case.says()
        ranks += [int(column.argmax()) if column.any() else NOWHERE for column in says.T]
    offsets = np.cumsum([0, *(len(case.question.references) for case in cases)])
    return Found(np.full((len(cases), 0), -1, np.int64), np.array(ranks, np.int64), offsets)


def excerpts(hits: Sequence[Hit]) -> list[dict[str, Any]]:
    """Chunks as objects that a judge is shown."""
    return [
        {"n": number, "document": seen(hit.part.source), "text": seen(hit.text)} for number, hit in enumerate(hits, 1)
    ]
