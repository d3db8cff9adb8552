"""`summarise`: of each chunk what it says to the question."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from easyrec.errors import ModelError
from easyrec.llm.client import AsyncClient, Parsed, system, user
from easyrec.llm.telling import line, seen
from rag.answer import excerpt, shortened
from rag.chunkers import tokens_in
from rag.knowledge import Hit
from rag.pipeline.ports import Found, Hits
from rag.pipeline.trace import Note
from rag.steps import AskingConfig, Kind, Step
from rag.steps._asking import DATA
from rag.telling import cut

RULES = """You are given a question and an excerpt of a document. Say what the excerpt says to the question, in its own words as far as
possible, with all numbers, names and conditions, and nothing that it does not say. Where it says nothing to the question, let "relevant" be
false and "summary" empty. Keep the excerpt's language."""


class Summary(BaseModel):
    """What an excerpt says to a question."""

    relevant: bool
    summary: str


class Config(AskingConfig):
    """Config of `summarise`."""

    type: Literal["summarise"] = "summarise"
    longer: int = Field(128, ge=16)
    """Tokens above which a chunk is summarised; shorter ones stay as they are."""
    max_tokens: int = Field(128, ge=16)
    """Of a summary."""
    drop: bool = True
    """Whether chunks go that say nothing to the question, as the model sees it."""

    @classmethod
    def step_of(cls) -> Kind:
        """The class."""
        return Summarise


class Summarise(Step[Config]):
    """Asks a model of each chunk, several at a time; where it fails the chunk stays as it is. Citations name the chunk."""

    def run(self, note: Note, question: str, hits: Hits) -> Found:
        """The chunks in fewer words."""
        client = self.tools.client(self.config.llm)
        long = [hit for hit in hits if tokens_in(hit.text) > self.config.longer]

        async def ask(asked: AsyncClient, hit: Hit) -> Parsed[Summary] | ModelError:
            told = "\n".join([line({"question": seen(question)}), excerpt(1, hit)])
            try:
                return await asked.structured(
                    [system(f"{RULES}\n{DATA}"), user(told)], Summary, repairs=1, max_tokens=4 * self.config.max_tokens
                )
            except ModelError as error:
                return error

        said = {hit.part.id: parsed for hit, parsed in zip(long, client.each(long, ask), strict=True)}
        kept: list[Hit] = []
        for hit in hits:
            parsed = said.get(hit.part.id)
            if parsed is None:
                kept.append(hit)
            elif isinstance(parsed, ModelError):
                note.fell_back(parsed, client.endpoint.price)
                kept.append(hit)
            else:
                note.used(parsed.usage, client.endpoint.price)
                words = cut(seen(parsed.value.summary).strip(), self.config.max_tokens)
                if words and (parsed.value.relevant or not self.config.drop):
                    kept.append(shortened(hit, words))
                elif not self.config.drop:
                    kept.append(hit)
                else:
                    note.add("dropped")
        return Found(tuple(kept))
