"""`question`: questions that a chunk answers; who asks like that finds it."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field

from rag.enrichment.kinds import LONGEST, Form, KindConfig


class Questions(BaseModel):
    """What the model says."""

    questions: list[str] = Field(max_length=100)


class Config(KindConfig):
    """Config of `question`."""

    type: Literal["question"] = "question"
    task: ClassVar[str] = (
        "Write {count} questions that the excerpt answers, as people ask who have not seen it: in their words rather than those of "
        "the excerpt, each understood by itself, each about something else."
    )
    form: ClassVar[Form] = Questions
    count: int = Field(3, ge=1, le=20)
    """How many."""

    def texts(self, said: Any) -> list[str]:
        """The questions."""
        return [text.strip()[:LONGEST] for text in said.questions if text.strip()][: self.count]
