"""`id`: one column of words or whole numbers, one or many a row, with or without weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from typing_extensions import override

from feature_generator.discretizer import IdConfig
from feature_generator.features import Operator, Reading, Sided, Source


class Config(IdConfig):
    """Config of `id`."""

    type: Literal["id"] = "id"
    expression: Sided = ""
    """The column, as `side:name`; by default `item:` and the feature's own name."""
    weighted: bool = False
    """Values are `key:weight`, or a map of keys to weights."""

    @property
    @override
    def sources(self) -> Sequence[Source]:
        return [Source.of(self.expression or f"item:{self.name}")]

    @property
    @override
    def readings(self) -> Sequence[Reading]:
        return [Reading(weighted=self.weighted)]

    @override
    def compile(self, default: str, sequence: bool, folder: Path | None = None) -> Operator:
        return Operator("copy")

    @override
    def reference(self, inputs: list[list[Any]]) -> list[Any]:
        return inputs[0]
