"""`hyde`: a passage as a document might have it, which is near to what is searched for."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from rag.pipeline.ports import Passages
from rag.pipeline.trace import Note
from rag.steps import Kind, Step
from rag.steps._asking import SayingConfig, about, tidy, value

RULES = """You are given a question. Write {count} short passages, of three sentences each, as a document that answers it might have them.
Invent what you do not know: they are only compared with documents, and nobody reads them. Keep its language."""


class Invented(BaseModel):
    """Passages that might answer it."""

    passages: list[str]


class Config(SayingConfig):
    """Config of `hyde`."""

    type: Literal["hyde"] = "hyde"
    count: int = Field(1, ge=1, le=8)
    """How many passages."""

    @classmethod
    def step_of(cls) -> Kind:
        """The class."""
        return HyDE


class HyDE(Step[Config]):
    """Asks a model for passages, which vectors alone search for.

    Source:
        Gao et al., "Precise zero-shot dense retrieval without relevance labels", ACL 2023.
    """

    def run(self, note: Note, question: str) -> Passages:
        """The passages."""
        client, count = self.tools.client(self.config.llm), self.config.count
        made = value(note, client, RULES.format(count=count), about(question, (), 0), Invented, self.config)
        return Passages(tidy(made.passages if made else [], count))
