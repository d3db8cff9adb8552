"""`bool_mask`: the values whose place in a second list is true."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field
from typing_extensions import override

from feature_generator.discretizer import IdConfig
from feature_generator.features import Operator, Sided, Source
from feature_generator.values import BadValueError, as_number


class Config(IdConfig):
    """Config of `bool_mask`."""

    single_input: ClassVar[bool] = False

    type: Literal["bool_mask"] = "bool_mask"
    expression: list[Sided] = Field([], max_length=2)
    """The values and the mask, each as `side:name`."""

    @override
    def problems(self, encoded: bool) -> list[tuple[str, str]]:
        problems = super().problems(encoded)
        if len(self.expression) != 2 and not encoded:
            problems.append(("expression", "needs two columns, the values and the mask, each as side:name"))
        return problems

    @property
    @override
    def sources(self) -> Sequence[Source]:
        return [Source.of(text) for text in self.expression or [f"item:{self.name}"]]

    @override
    def compile(self, default: str, sequence: bool, folder: Path | None = None) -> Operator:
        return Operator("bool_mask", defaults=[part for part in default.split(self.separator) if part])

    @override
    def reference(self, inputs: list[list[Any]]) -> list[Any]:
        values, mask = inputs
        if not values or not mask:
            return []
        if len(values) != len(mask):
            raise BadValueError(f"{len(mask)} values for {len(values)} to mask")
        kept = [_on(one) for one in mask]
        return [value for value, on in zip(values, kept, strict=True) if on]


def _on(value: Any) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "false") and value.isascii():
        return value.lower() == "true"
    if isinstance(value, float | np.floating):
        if np.isnan(value):
            raise BadValueError("nan")
        return bool(value != 0)
    return as_number(value) != 0
