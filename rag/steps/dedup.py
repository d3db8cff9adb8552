"""`dedup`: of chunks that say nearly the same, the best one."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rag.pipeline.ports import Found, Hits
from rag.pipeline.trace import Note
from rag.steps import Kind, Step, StepConfig
from rag.steps._alike import By, alike


class Config(StepConfig):
    """Config of `dedup`."""

    type: Literal["dedup"] = "dedup"
    by: By = "words"
    """What makes chunks alike: runs of three words that they share, or cosines of their vectors."""
    above: float = Field(0.8, gt=0.0, le=1.0)
    """How alike two are that say nearly the same."""

    @classmethod
    def step_of(cls) -> Kind:
        """The class."""
        return Dedup


class Dedup(Step[Config]):
    """Keeps chunks that are unlike all that were kept before."""

    def run(self, note: Note, hits: Hits) -> Found:
        """Those that are kept, in their order."""
        if len(hits) < 2:
            return Found(hits)
        near = alike(self.tools.base, hits, self.config.by) >= self.config.above
        kept: list[int] = []
        for place in range(len(hits)):
            if not near[place, kept].any():
                kept.append(place)
        note.notes["dropped"] = len(hits) - len(kept)
        return Found(tuple(hits[place] for place in kept))
