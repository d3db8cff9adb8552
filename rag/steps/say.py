"""`say`: always the same answer, as at the end of a branch for what is not to be answered."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from easyrec.llm.client import Usage
from rag.answer import Answered
from rag.pipeline.ports import Said
from rag.pipeline.trace import Note
from rag.steps import Kind, Step, StepConfig


class Config(StepConfig):
    """Config of `say`."""

    type: Literal["say"] = "say"
    text: str = Field(min_length=1, max_length=20_000)
    """The answer."""

    @classmethod
    def step_of(cls) -> Kind:
        """The class."""
        return Say


class Say(Step[Config]):
    """Says its text; no document does, so the answer is none of theirs."""

    def run(self, note: Note, question: str) -> Said:
        """The answer."""
        return Said(Answered(self.config.text, (), (), False, Usage()))
