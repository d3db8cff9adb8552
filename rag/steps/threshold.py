"""`threshold`: drops what fits too badly."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from feature_generator.config import fault
from rag.pipeline.ports import Found, Hits
from rag.pipeline.trace import Note
from rag.steps import Kind, Step, StepConfig


class Config(StepConfig):
    """Config of `threshold`."""

    type: Literal["threshold"] = "threshold"
    by: Literal["score", "vector", "keyword", "reranker"] = "score"
    """Which score: what decided last, or one of its parts; a chunk without that part is dropped."""
    above: float | None = None
    """What it must be at least."""
    share: float | None = Field(None, gt=0.0, le=1.0)
    """What it must be at least as a share of the best one's, where that is above 0."""
    keep: int = Field(0, ge=0)
    """How many stay in any case."""

    @classmethod
    def step_of(cls) -> Kind:
        """The class."""
        return Threshold

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if self.above is None and self.share is None:
            raise fault("needs 'above' or 'share'", "type")
        return self


class Threshold(Step[Config]):
    """Keeps what has enough."""

    def run(self, note: Note, hits: Hits) -> Found:
        """Those that are kept, in their order."""
        by, kept = self.config.by, list[int]()
        scores = [hit.score if by == "score" else hit.parts.get(by) for hit in hits]
        best = max((score for score in scores if score is not None), default=0.0)
        for place, score in enumerate(scores):
            enough = score is not None and (self.config.above is None or score >= self.config.above)
            if enough and self.config.share is not None and best > 0 and score is not None:
                enough = score >= self.config.share * best
            if enough or place < self.config.keep:
                kept.append(place)
        note.notes["dropped"] = len(hits) - len(kept)
        return Found(tuple(hits[place] for place in kept))
