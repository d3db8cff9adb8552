"""`rerank`: a model that reads question and chunk at a time orders what was found."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from easyrec.errors import ModelError
from easyrec.llm.rerankers import Reranker
from feature_generator.config import Choice
from rag.pipeline.ports import Found, Hits
from rag.pipeline.trace import Note
from rag.steps import Kind, Step, StepConfig

if TYPE_CHECKING:
    from rag.pipeline.tools import Tools


class Config(StepConfig):
    """Config of `rerank`. What it does not say is as `search` of the whole config has it."""

    type: Literal["rerank"] = "rerank"
    reranker: Annotated[Any, Choice("easyrec.llm.rerankers")] | None = None
    """What looks again."""
    k: int | None = Field(None, ge=1, le=1000)
    """How many are kept."""
    reranked: int | None = Field(None, ge=1, le=1000)
    """How many of the best it looks at; the others go."""
    min_score: float | None = None
    """Of what is kept at least, by its scores."""
    by: Literal["question", "asked"] = "question"
    """The question as it stands, or as it was asked first."""
    or_else: Literal["fail", "keep"] = "fail"
    """What happens where it cannot be asked: the run fails, or the order stays."""

    @classmethod
    def step_of(cls) -> Kind:
        """The class."""
        return Rerank


class Rerank(Step[Config]):
    """Orders hits by a reranker."""

    def __init__(self, config: Config, tools: Tools) -> None:
        super().__init__(config, tools)
        found = config.reranker if config.reranker is not None else tools.config.search.reranker
        assert found is not None  # the config was checked
        self._reranker: Reranker = tools.keep(found.open())

    def run(self, note: Note, question: str, asked: str, hits: Hits, k: int | None = None) -> Found:
        """The best, in another order."""
        search = self.tools.config.search
        looked = hits[: self.config.reranked or max(search.reranked, search.k)]
        most = self.config.k or k or search.k
        if not looked:
            return Found(())
        try:
            text = question if self.config.by == "question" else asked
            with note.metered():
                again = self._reranker.score(text, [hit.part.chunk.searched() for hit in looked])
        except ModelError as error:
            if self.config.or_else == "fail":
                raise
            note.fell_back(error)
            return Found(looked[:most])
        scored = [
            replace(hit, score=float(score), parts={**hit.parts, "reranker": float(score)})
            for hit, score in zip(looked, again, strict=True)
        ]
        scored.sort(key=lambda hit: (-hit.score, hit.part.id))
        least = self.config.min_score if self.config.min_score is not None else search.min_score
        return Found(tuple(hit for hit in scored[:most] if least is None or hit.score >= least))
