"""`single`: a question that one chunk answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field

from rag.evaluation.filtering import Reason
from rag.evaluation.generators import QUOTED, RULES, Form, GeneratorConfig, reference_to
from rag.evaluation.questions import Question
from rag.records import Part


class Single(BaseModel):
    """What the model says."""

    question: str = Field(min_length=1, max_length=2000)
    answer: str = Field(min_length=1, max_length=4000)
    quote: str = Field(max_length=4000)


class Config(GeneratorConfig):
    """Config of `single`."""

    type: Literal["single"] = "single"
    form: ClassVar[Form] = Single

    def rules(self) -> str:
        """One excerpt, one question."""
        return RULES.format(given="an excerpt, a JSON object", more="", answered=QUOTED)

    def questions(self, said: Any, parts: Sequence[Part]) -> list[Question] | Reason:
        """It."""
        reference = reference_to(parts[0], said.quote)
        return [Question(question=said.question, answer=said.answer, references=(reference,))]
