"""`slice`: some of the values of an element, picked by their place as Python's slices do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator
from typing_extensions import override

from feature_generator.discretizer import IdConfig
from feature_generator.features import Operator, Sided, Source


class Config(IdConfig):
    """Config of `slice`."""

    type: Literal["slice"] = "slice"
    expression: Sided = ""
    """The column, as `side:name`; by default `item:` and the feature's own name."""
    start: int | None = Field(None, ge=-(2**31), lt=2**31)
    """Place of the first value, from 0; negative ones count from the end. By default the first in the direction."""
    end: int | None = Field(None, ge=-(2**31), lt=2**31)
    """Place behind the last value. By default all."""
    step: int = Field(1, ge=-(2**31), lt=2**31)
    """Distance of the places; negative: backwards."""

    @field_validator("step")
    @classmethod
    def _moves(cls, value: int) -> int:
        if value == 0:
            raise ValueError("must not be 0: a slice moves forwards or backwards")
        return value

    @property
    @override
    def sources(self) -> Sequence[Source]:
        return [Source.of(self.expression or f"item:{self.name}")]

    @override
    def first_only(self, sequence: bool) -> bool:
        return self.value_dim == 1

    @override
    def compile(self, default: str, sequence: bool, folder: Path | None = None) -> Operator:
        places = {key: value for key, value in (("start", self.start), ("end", self.end)) if value is not None}
        defaults = [part for part in default.split(self.separator) if part]
        return Operator("slice", {"step": self.step, **places}, defaults=defaults)

    @override
    def reference(self, inputs: list[list[Any]]) -> list[Any]:
        return inputs[0][self.start : self.end : self.step]
