"""`limit`: the first chunks, as many as are wanted and as there is room for."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from feature_generator.config import fault
from rag.answer import fitting
from rag.pipeline.ports import Found, Hits
from rag.pipeline.trace import Note
from rag.steps import Kind, Step, StepConfig


class Config(StepConfig):
    """Config of `limit`."""

    type: Literal["limit"] = "limit"
    k: int | None = Field(None, ge=1, le=1000)
    """How many."""
    tokens: int | None = Field(None, ge=16)
    """Of all of them together, about; of the first one its beginning is kept in any case."""

    @classmethod
    def step_of(cls) -> Kind:
        """The class."""
        return Limit

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if self.k is None and self.tokens is None:
            raise fault("needs 'k' or 'tokens'", "type")
        return self


class Limit(Step[Config]):
    """Keeps the first ones."""

    def run(self, note: Note, hits: Hits) -> Found:
        """Those that are kept."""
        some = hits[: self.config.k]
        return Found(some if self.config.tokens is None else tuple(fitting(some, self.config.tokens)))
