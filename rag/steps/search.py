"""`search`: finds chunks, of several queries together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from easyrec.errors import ConfigError
from rag.config import SearchConfig
from rag.fusion import Fusion
from rag.knowledge import Hit
from rag.pipeline.ports import Access, Filter, Found, Texts
from rag.pipeline.trace import Note
from rag.steps import Kind, Step, StepConfig

RANK = 60.0
"""The larger, the less the first ranks of each query count for."""


class Config(StepConfig):
    """Config of `search`. What it does not say is as `search` of the whole config has it."""

    type: Literal["search"] = "search"
    mode: Literal["hybrid", "vector", "keyword"] | None = None
    """By words and by vectors, or by one of them alone."""
    k: int | None = Field(None, ge=1, le=1000)
    """How many are wanted."""
    candidates: int | None = Field(None, ge=1, le=10_000)
    """How many words and vectors each find, of which the best are taken."""
    fusion: Fusion | None = None
    """How the two lists become one."""
    min_score: float | None = None
    """Of what is found at least."""
    filter: dict[str, Any] = {}
    """What must hold of what is found, besides what is asked for."""
    several: Literal["rrf", "max", "turns"] = "rrf"
    """How what several queries find becomes one list: by ranks, by the best score, or in turns, the best of each first."""

    @classmethod
    def step_of(cls) -> Kind:
        """The class."""
        return Search


class Search(Step[Config]):
    """Searches for each query, or for the question where there are none; passages are searched by what they mean."""

    def run(
        self,
        note: Note,
        question: str,
        filter: Filter = None,
        access: Access = None,
        queries: Texts = (),
        passages: Texts = (),
        k: int | None = None,
    ) -> Found:
        """What was found."""
        how = self._how(k)
        told = self._filter(filter)
        wanted = tuple(dict.fromkeys(queries)) or (question,)
        asked = [(text, how, False) for text in wanted]
        if passages:
            mode = "vector" if how.mode != "keyword" and self.tools.base.embedder is not None else "keyword"
            other = how.model_copy(update={"mode": mode})
            asked += [(text, other, True) for text in dict.fromkeys(passages)]
        search = self.tools.base.search
        with note.metered():
            lists = [search(text, one, filter=told, access=access, passage=passage) for text, one, passage in asked]
        if len(lists) == 1:
            return Found(tuple(lists[0]))
        note.notes["searches"] = len(lists)
        return Found(tuple(together(lists, self.config.several)[: how.k]))

    def _how(self, k: int | None) -> SearchConfig:
        """How each query is searched."""
        own: dict[str, Any] = {
            name: getattr(self.config, name)
            for name in ("mode", "k", "candidates", "fusion", "min_score")
            if name in self.config.model_fields_set and getattr(self.config, name) is not None
        }
        search = self.tools.config.search
        own.setdefault("k", k or search.k)
        if self.tools.reranks:  # whatever decides last has the last word
            own = {"min_score": None, **own, "k": max(own["k"], search.reranked)}
        return search.model_copy(update=own)

    def _filter(self, given: Filter) -> Mapping[str, Any] | None:
        """What must hold by the config and by who asks; nobody who asks can widen what the config says."""
        both = [name for name in given or {} if name in self.config.filter]
        if both:
            raise ConfigError(f"filter '{both[0]}': the pipeline's step '{self.config.called}' says already what it is")
        return {**self.config.filter, **(given or {})} or None


def together(lists: Sequence[Sequence[Hit]], by: Literal["rrf", "max", "turns"]) -> list[Hit]:
    """Several lists as one, each chunk once, the best first."""
    best: dict[int, Hit] = {}
    scores: dict[int, float] = {}
    turns: dict[int, tuple[int, int]] = {}
    for number, hits in enumerate(lists):
        for rank, hit in enumerate(hits):
            key = hit.part.id
            if key not in best or hit.score > best[key].score:
                best[key] = hit
            scores[key] = scores.get(key, 0.0) + 1.0 / (RANK + 1.0 + rank)
            turns[key] = min(turns.get(key, (rank, number)), (rank, number))
    if by == "turns":
        return [best[key] for key in sorted(best, key=turns.__getitem__)]
    if by == "max":
        return sorted(best.values(), key=lambda hit: (-hit.score, hit.part.id))
    return [replace(best[key], score=scores[key]) for key in sorted(best, key=lambda key: (-scores[key], key))]
