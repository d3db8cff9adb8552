"""`combine`: several numbers, or words that stand for numbers, as one number."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator
from typing_extensions import override

from feature_generator.features import Operator, Sided, Source
from feature_generator.numeric import ValueConfig
from feature_generator.values import BadValueError, as_number, as_text

OTHERS = ("hash_bucket_size", "dynamic", "vocab_list", "vocab_dict", "vocab_file")


class Config(ValueConfig):
    """Config of `combine`."""

    type: Literal["combine"] = "combine"
    expression: Sided = ""
    """The column, as `side:name`; by default `item:` and the feature's own name."""
    default_value: str = ""
    """Value of a missing input; none: 0, and with num_buckets or boundaries no id."""
    combiner: Literal["sum", "mean", "avg", "min", "max", "count", "gap_min", "gap_max"] = "sum"
    """How the numbers become one; gaps are distances of neighbours as they stand."""
    value_map: dict[str, float] | None = Field(None, min_length=1)
    """Word -> number; words that it does not hold are left out. Without it the values are numbers."""
    value_dim: int | None = Field(None, ge=0, le=1)
    """There is one number whatever it says."""

    @field_validator("value_map", mode="before")
    @classmethod
    def _words(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {as_text(k) if isinstance(k, int | float) else k: v for k, v in value.items()}

    @override
    def problems(self, encoded: bool) -> list[tuple[str, str]]:
        problems = super().problems(encoded)
        given = [key for key in OTHERS if getattr(self, key) is not None]
        return problems + [(key, "a combination is a number: use num_buckets or boundaries") for key in given]

    @property
    @override
    def sources(self) -> Sequence[Source]:
        return [Source.of(self.expression or f"item:{self.name}")]

    @override
    def first_only(self, sequence: bool) -> bool:
        return False

    @override
    def compile(self, default: str, sequence: bool, folder: Path | None = None) -> Operator:
        parameters: dict[str, Any] = {"combiner": self._how, "whole": not self.numeric}
        if self.value_map is not None:
            parameters |= {"words": list(self.value_map), "numbers": list(self.value_map.values())}
        return Operator("combine", parameters, numbers=self.numbers() if self.numeric else None)

    @property
    def _how(self) -> str:
        return "mean" if self.combiner == "avg" else self.combiner

    @override
    def reference(self, inputs: list[list[Any]]) -> list[Any]:
        if self.value_map is None:
            numbers = [as_number(value) for value in inputs[0]]
        else:
            words = [as_text(value) for value in inputs[0]]
            numbers = [float(self.value_map[word]) for word in words if word in self.value_map]
        if not numbers:
            return []
        gaps = [abs(b - a) for a, b in pairwise(numbers)] or [0.0]
        total = numbers[0]
        for number in numbers[1:]:
            total += number
        made = {
            "sum": total,
            "mean": total / len(numbers),
            "min": min(numbers),
            "max": max(numbers),
            "count": float(len(numbers)),
            "gap_min": min(gaps),
            "gap_max": max(gaps),
        }[self._how]
        if self.numeric:
            return [made]
        if not abs(made) < 2**63:
            raise BadValueError(f"{made} has more than 64 bits")
        return [int(made)]
