"""`reorder`: the best chunks at both ends, since models overlook what stands in the middle."""

from __future__ import annotations

from typing import Literal

from rag.answer import fitting
from rag.pipeline.ports import Found, Hits
from rag.pipeline.trace import Note
from rag.steps import Kind, Step, StepConfig


class Config(StepConfig):
    """Config of `reorder`."""

    type: Literal["reorder"] = "reorder"

    @classmethod
    def step_of(cls) -> Kind:
        """The class."""
        return Reorder


class Reorder(Step[Config]):
    """Keeps what `answer` has room for; then the first stays first, the second becomes the last, and so on inwards.

    Source:
        Liu et al., "Lost in the middle: how language models use long contexts", TACL 2024.
    """

    def run(self, note: Note, hits: Hits) -> Found:
        """All of them."""
        kept = fitting(hits, self.tools.config.answer.context_tokens)
        return Found((*kept[0::2], *kept[1::2][::-1]))
