"""`raw`: numbers, alone or in vectors of fixed length, normalised, kept or put into buckets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from typing_extensions import override

from feature_generator.features import Operator, Sided, Source
from feature_generator.numeric import NumericConfig


class Config(NumericConfig):
    """Config of `raw`."""

    type: Literal["raw"] = "raw"
    expression: Sided = ""
    """The column, as `side:name`; by default `item:` and the feature's own name."""
    value_dim: int | None = Field(None, ge=1, le=2**20)
    """Length of the vector; by default 1."""

    @property
    @override
    def sources(self) -> Sequence[Source]:
        return [Source.of(self.expression or f"item:{self.name}")]

    @override
    def compile(self, default: str, sequence: bool, folder: Path | None = None) -> Operator:
        return Operator("copy", numbers=self.numbers())

    @override
    def reference(self, inputs: list[list[Any]]) -> list[Any]:
        return inputs[0]
