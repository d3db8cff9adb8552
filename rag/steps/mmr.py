"""`mmr`: each next chunk is one that fits the question and is unlike those before it."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from rag.pipeline.ports import Found, Hits
from rag.pipeline.trace import Note
from rag.steps import Kind, Step, StepConfig
from rag.steps._alike import By, alike


class Config(StepConfig):
    """Config of `mmr`."""

    type: Literal["mmr"] = "mmr"
    k: int | None = Field(None, ge=1, le=1000)
    """How many are kept; default: all, in another order."""
    relevance: float = Field(0.7, ge=0.0, le=1.0)
    """What fitting the question counts for; being unlike the others counts for the rest."""
    by: By = "vectors"
    """What makes chunks alike; where they have no vectors it is their words."""

    @classmethod
    def step_of(cls) -> Kind:
        """The class."""
        return MMR


class MMR(Step[Config]):
    """Chooses one after the other ``argmax_i w * score_i - (1 - w) * max_{j chosen} alike_ij``, scores between 0 and 1.

    Source:
        Carbonell and Goldstein, "The use of MMR, diversity-based reranking for reordering documents", SIGIR 1998.
    """

    def run(self, note: Note, hits: Hits) -> Found:
        """The chosen ones."""
        if not hits:
            return Found(())
        scores = np.array([hit.score for hit in hits], np.float32)
        span = float(scores.max() - scores.min())
        scores = (scores - scores.min()) / span if span else np.ones_like(scores)
        near = alike(self.tools.base, hits, self.config.by)
        weight, nearest = self.config.relevance, np.zeros(len(hits), np.float32)
        left, order = np.ones(len(hits), bool), list[int]()
        for _ in range(min(len(hits), self.config.k or len(hits))):
            worth = np.where(left, weight * scores - (1 - weight) * nearest, -np.inf)
            best = int(worth.argmax())
            order.append(best)
            left[best] = False
            nearest = np.maximum(nearest, near[best])
        return Found(tuple(hits[place] for place in order))
