"""`unanswerable`: a question that suits the documents, and that none of them answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field

from rag.evaluation.filtering import Reason
from rag.evaluation.generators import RULES, Form, GeneratorConfig
from rag.evaluation.questions import Question
from rag.records import Part

MISSING = """. The question must be about what the excerpt is about, and ask for what it does not say: somebody who knows the matter only in
part would expect the answer there"""


class Unanswerable(BaseModel):
    """What the model says; the reason comes first, so that the question follows it."""

    missing: str = Field(max_length=4000)
    question: str = Field(min_length=1, max_length=2000)


class Config(GeneratorConfig):
    """Config of `unanswerable`. What is found for the question is looked at too: where it says the answer, the question is left out."""

    type: Literal["unanswerable"] = "unanswerable"
    form: ClassVar[Form] = Unanswerable
    answered: ClassVar[bool] = False
    looked_at: int = Field(5, ge=1, le=50)
    """Chunks that are looked at whether they answer it after all."""

    def rules(self) -> str:
        """One excerpt, one question."""
        answered = "which the excerpt does not say; say first, as missing, what that is"
        return RULES.format(given="an excerpt, a JSON object", more=MISSING, answered=answered)

    def questions(self, said: Any, parts: Sequence[Part]) -> list[Question] | Reason:
        """It."""
        return [Question(question=said.question, kind="unanswerable")]
