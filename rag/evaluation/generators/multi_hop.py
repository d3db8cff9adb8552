"""`multi_hop`: a question that takes two chunks, which are about the same thing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field

from rag.config import SearchConfig
from rag.evaluation.filtering import Reason
from rag.evaluation.generators import RULES, Form, GeneratorConfig, is_chunk, reference_to, text_of
from rag.evaluation.questions import Question, bare
from rag.knowledge import KnowledgeBase
from rag.records import Part

LONGEST = 2000
"""Letters of a chunk by which others are found that it is linked with."""
BOTH = """, that of the second one where the two differ. The question must need both excerpts: with one of them alone nobody could answer it"""
QUOTES = (
    """with the words of each excerpt that it takes copied exactly, letter by letter, as first_quote and second_quote"""
)


class MultiHop(BaseModel):
    """What the model says."""

    question: str = Field(min_length=1, max_length=2000)
    answer: str = Field(min_length=1, max_length=4000)
    first_quote: str = Field(max_length=4000)
    second_quote: str = Field(max_length=4000)


class Config(GeneratorConfig):
    """Config of `multi_hop`."""

    type: Literal["multi_hop"] = "multi_hop"
    form: ClassVar[Form] = MultiHop
    near: int = Field(10, ge=2, le=100)
    """Chunks, among those most like the first, of which the second is taken."""

    def parts(self, base: KnowledgeBase, first: Part) -> tuple[Part, ...] | None:
        """A chunk, and what is found by what it says: another one that stands neither beside it nor says the same."""
        own = text_of(first)
        for hit in base.search(own[:LONGEST], SearchConfig(k=self.near)):
            part = hit.part
            beside = part.document == first.document and abs(part.number - first.number) <= 1
            if part.id != first.id and is_chunk(hit) and not beside and not _same(own, text_of(part)):
                return (first, part)
        return None

    def rules(self) -> str:
        """Two excerpts, one question."""
        return RULES.format(given="two excerpts, a JSON object a line", more=BOTH, answered=QUOTES)

    def questions(self, said: Any, parts: Sequence[Part]) -> list[Question] | Reason:
        """It, if the quotations are of one excerpt each."""
        quotes = (bare(said.first_quote), bare(said.second_quote))
        texts = [bare(text_of(part)) for part in parts]
        if quotes[0] in texts[1] and quotes[1] in texts[0]:
            if quotes[0] in texts[0] or quotes[1] in texts[1]:
                return "one_hop"
            parts = (parts[1], parts[0])
        elif quotes[0] not in texts[0] or quotes[1] not in texts[1]:
            somewhere = all(any(quote in text for text in texts) for quote in quotes)
            return "one_hop" if somewhere else "quote_not_found"
        references = (reference_to(parts[0], said.first_quote), reference_to(parts[1], said.second_quote))
        return [Question(question=said.question, kind="multi_hop", answer=said.answer, references=references)]


def _same(first: str, second: str) -> bool:
    """Whether one says all that the other one does."""
    a, b = bare(first), bare(second)
    return a in b or b in a
