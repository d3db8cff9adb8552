"""`related`: what goes with what was found, as a lesson with an exercise or a cover with a phone, to be shown beside the answer."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from easyrec.retrieval.filters import NAME
from rag.pipeline.ports import Access, Hits, Related
from rag.pipeline.trace import Note
from rag.steps import Kind, Step, StepConfig

LETTERS = 1000
"""Of each chunk that is searched for."""


class Config(StepConfig):
    """Config of `related`."""

    type: Literal["related"] = "related"
    k: int = Field(3, ge=1, le=50)
    """How many documents are wanted at most."""
    filter: dict[str, Any] = {}
    """What must hold of them, as `{sort: lesson}`."""
    same: list[str] = []
    """Facts of which they must share a value with the best chunk."""
    other: list[str] = []
    """Facts of which they must not share a value with it, as a category where complements are wanted."""
    by: Literal["question", "found", "both"] = "both"
    """What they should be like: the question, or the best chunk."""

    @field_validator("same", "other")
    @classmethod
    def _named(cls, value: list[str]) -> list[str]:
        wrong = [name for name in value if not NAME.match(name)]
        if wrong:
            raise ValueError(f"'{wrong[0]}' is no name of a fact")
        return value

    @classmethod
    def step_of(cls) -> Kind:
        """The class."""
        return RelatedStep


class RelatedStep(Step[Config]):
    """Searches for documents beside those that were found, each once; the question's filter is not theirs."""

    def run(self, note: Note, question: str, hits: Hits, access: Access = None) -> Related:
        """What goes with the answer."""
        if not hits:
            return Related(())
        best, config = hits[0].part, self.config
        filter: dict[str, Any] = dict(config.filter)
        for name in config.same:
            if values := best.facts.get(name):
                filter[name] = list(values)
        for name in config.other:
            if name not in filter and (values := best.facts.get(name)):
                filter[name] = {"none": list(values)}
        texts = {"question": question, "found": best.chunk.searched()[:LETTERS]}
        query = "\n".join(texts.values() if config.by == "both" else [texts[config.by]])
        search = self.tools.config.search
        there = {hit.part.document for hit in hits}
        how = search.model_copy(update={"k": min(1000, 4 * config.k + len(hits)), "min_score": None})
        found = self.tools.base.search(query, how, filter=filter or None, access=access)
        kept: dict[int, Any] = {}
        for hit in found:
            if hit.part.document not in there:
                kept.setdefault(hit.part.document, hit)
        return Related(tuple(list(kept.values())[: config.k]))
