"""`multi_query`: the question in several wordings, each of which is searched."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from rag.pipeline.ports import Queries, Texts
from rag.pipeline.trace import Note
from rag.steps import Kind, Step
from rag.steps._asking import WordingConfig, about, searched, tidy, value

RULES = """You are given a question. Write {count} other wordings of it, as different people might ask for the same thing. Keep its language.
Do not answer it."""


class Wordings(BaseModel):
    """The question in other words."""

    queries: list[str]


class Config(WordingConfig):
    """Config of `multi_query`."""

    type: Literal["multi_query"] = "multi_query"
    count: int = Field(3, ge=1, le=16)
    """How many wordings."""

    @classmethod
    def step_of(cls) -> Kind:
        """The class."""
        return MultiQuery


class MultiQuery(Step[Config]):
    """Asks a model for other wordings."""

    def run(self, note: Note, question: str, queries: Texts = ()) -> Queries:
        """The queries."""
        client, count = self.tools.client(self.config.llm), self.config.count
        made = value(note, client, RULES.format(count=count), about(question, (), 0), Wordings, self.config)
        return Queries(searched(self.config, question, queries, tidy(made.queries if made else [], count)))
