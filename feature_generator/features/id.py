"""`id`: one column of words or whole numbers, one or many a row, with or without weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import field_validator
from typing_extensions import override

from feature_generator.discretizer import IdConfig
from feature_generator.features import Operator, Source


class Config(IdConfig):
    """Config of `id`."""

    type: Literal["id"] = "id"
    expression: str = ""
    """The column, as `side:name`; by default `item:` and the feature's own name."""
    weighted: bool = False
    """Values are `key:weight`, or a map of keys to weights."""

    @field_validator("expression")
    @classmethod
    def _side_and_name(cls, value: str) -> str:
        Source.of(value)
        return value

    @property
    @override
    def sources(self) -> Sequence[Source]:
        return [Source.of(self.expression or f"item:{self.name}")]

    @override
    def compile(self, default: str, sequence: bool) -> Operator:
        return Operator("copy")

    @override
    def reference(self, inputs: list[list[str]]) -> list[str]:
        return inputs[0]
