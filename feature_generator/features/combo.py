"""`combo`: the cross of two or more columns."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Literal

from pydantic import Field, field_validator
from typing_extensions import override

from feature_generator.discretizer import IdConfig
from feature_generator.features import Operator, Source


class Config(IdConfig):
    """Config of `combo`."""

    type: Literal["combo"] = "combo"
    expression: list[str] = Field([], max_length=64)
    """The columns, each as `side:name`; at least two."""

    @field_validator("expression")
    @classmethod
    def _sides_and_names(cls, value: list[str]) -> list[str]:
        for text in value:
            Source.of(text)
        return value

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

    @property
    @override
    def single_input(self) -> bool:
        return False

    @override
    def compile(self, default: str, sequence: bool) -> Operator:
        return Operator("product")

    @override
    def reference(self, inputs: list[list[str]]) -> list[str]:
        return ["_".join(values) for values in product(*inputs)]
