"""`rewrite`: the question in the words that documents use."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from rag.pipeline.ports import Queries, Texts
from rag.pipeline.trace import Note
from rag.steps import Kind, Step
from rag.steps._asking import WordingConfig, about, searched, tidy, value

RULES = """You are given a question. Write what one should search documents for to find its answer: the words that such documents use,
spelled rightly, without what is only politeness. Keep its language. Do not answer it."""


class Rewritten(BaseModel):
    """What is searched for."""

    query: str


class Config(WordingConfig):
    """Config of `rewrite`."""

    type: Literal["rewrite"] = "rewrite"

    @classmethod
    def step_of(cls) -> Kind:
        """The class."""
        return Rewrite


class Rewrite(Step[Config]):
    """Asks a model for better words."""

    def run(self, note: Note, question: str, queries: Texts = ()) -> Queries:
        """The queries."""
        client = self.tools.client(self.config.llm)
        made = value(note, client, RULES, about(question, (), 0), Rewritten, self.config)
        return Queries(searched(self.config, question, queries, tidy([made.query] if made else [], 1)))
