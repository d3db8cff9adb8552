"""`combo`: the cross of two or more columns."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from feature_generator.discretizer import IdConfig
from feature_generator.features import Operator, Sided, Source
from feature_generator.values import BadValueError, as_text

MOST = 65536
"""Combinations of one row's values; more are a bad value."""


class Config(IdConfig):
    """Config of `combo`."""

    single_input: ClassVar[bool] = False

    type: Literal["combo"] = "combo"
    expression: list[Sided] = Field([], max_length=64)
    """The columns, each as `side:name`; at least two."""

    @override
    def problems(self, encoded: bool) -> list[tuple[str, str]]:
        problems = super().problems(encoded)
        if len(self.expression) < 2 and not encoded:
            problems.append(("expression", "needs two or more columns, each as side:name"))
        if self.num_buckets is not None and not encoded:
            problems.append(("num_buckets", "a cross is text such as 'a_b': use hash_bucket_size or a vocabulary"))
        return problems

    @property
    @override
    def sources(self) -> Sequence[Source]:
        return [Source.of(text) for text in self.expression or [f"item:{self.name}"]]

    @override
    def compile(self, default: str, sequence: bool, folder: Path | None = None) -> Operator:
        return Operator("product", {"first_only": self.first_only(sequence)})

    @override
    def reference(self, inputs: list[list[Any]]) -> list[Any]:
        texts = [[as_text(value) for value in values] for values in inputs]
        if prod(map(len, texts)) > MOST and self.value_dim != 1:
            raise BadValueError(f"crosses more than {MOST} combinations of values")
        return ["_".join(values) for values in product(*texts)]
