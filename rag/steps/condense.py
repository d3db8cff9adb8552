"""`condense`: a question that leans on the turns before it becomes one that stands by itself."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from rag.pipeline.ports import Asked, History
from rag.pipeline.trace import Note
from rag.steps import Kind, Step
from rag.steps._asking import SayingConfig, about, tidy, value

RULES = """You are given the turns of a talk, and the question that follows. Word that question so that it can be understood without
the turns: put names and things in the place of words such as "it" and "there". Leave a question that stands by itself as it is.
Keep its language. Do not answer it."""


class Standalone(BaseModel):
    """The question, as it can be understood without the turns."""

    question: str


class Config(SayingConfig):
    """Config of `condense`."""

    type: Literal["condense"] = "condense"
    history_tokens: int = Field(1024, ge=16)
    """Of the turns before the question that the model is shown; the last ones."""

    @classmethod
    def step_of(cls) -> Kind:
        """The class."""
        return Condense


class Condense(Step[Config]):
    """Asks a model for a question that stands by itself; where there are no turns the question stays."""

    def run(self, note: Note, question: str, history: History = ()) -> Asked:
        """The question."""
        if not history:
            return Asked(question)
        client = self.tools.client(self.config.llm)
        made = value(note, client, RULES, about(question, history, self.config.history_tokens), Standalone, self.config)
        return Asked(next(iter(tidy([made.question] if made else [], 1)), question))
