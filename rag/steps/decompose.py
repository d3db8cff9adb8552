"""`decompose`: a question of several parts becomes several questions, each of which is searched."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from rag.pipeline.ports import Queries, Texts
from rag.pipeline.trace import Note
from rag.steps import Kind, Step
from rag.steps._asking import WordingConfig, about, searched, tidy, value

RULES = """You are given a question. Where its answer needs several things to be known, write a question for each of them, {count} at most,
each so that it can be understood by itself. Where it asks for one thing alone, give no questions. Keep its language. Do not answer."""


class Parts(BaseModel):
    """The questions that it is made of; none where it asks for one thing."""

    questions: list[str]


class Config(WordingConfig):
    """Config of `decompose`."""

    type: Literal["decompose"] = "decompose"
    count: int = Field(4, ge=2, le=16)
    """How many questions at most."""

    @classmethod
    def step_of(cls) -> Kind:
        """The class."""
        return Decompose


class Decompose(Step[Config]):
    """Asks a model for the parts of a question. `{type: search, several: turns}` gives each of them its share."""

    def run(self, note: Note, question: str, queries: Texts = ()) -> Queries:
        """The queries."""
        client, count = self.tools.client(self.config.llm), self.config.count
        made = value(note, client, RULES.format(count=count), about(question, (), 0), Parts, self.config)
        return Queries(searched(self.config, question, queries, tidy(made.questions if made else [], count)))
