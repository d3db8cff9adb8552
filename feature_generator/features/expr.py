"""`expr`: a formula over columns of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from feature_generator.expressions import Program, UnequalLengthsError, compile_expression, evaluate
from feature_generator.features import Operator, Sided, Source
from feature_generator.numeric import NumericConfig
from feature_generator.values import BadValueError, as_number


class Config(NumericConfig):
    """Config of `expr`."""

    single_input: ClassVar[bool] = False

    type: Literal["expr"] = "expr"
    expression: str = ""
    """The formula, over the names of the variables."""
    variables: list[Sided] = Field([], max_length=64)
    """The columns, each as `side:name`."""
    fill_missing: float | None = Field(None, allow_inf_nan=False)
    """Stands for a variable that is missing, and for the places that the shorter of two vectors lacks. By default a
    missing variable gives the default value, and vectors that do not fit are a bad value."""
    value_dim: int | None = Field(None, ge=0, le=2**20)
    """Length of the result; by default 1, with boundaries any (0)."""

    @override
    def problems(self, encoded: bool) -> list[tuple[str, str]]:
        problems = super().problems(encoded)
        if encoded and not self.expression:
            return problems
        if not self.variables:
            return [*problems, ("variables", "needs the columns that the expression reads, each as side:name")]
        names = [source.name for source in self.sources]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            return [*problems, ("variables", f"two variables are called '{twice}', the expression cannot tell them")]
        try:
            self._program()
        except ValueError as error:
            problems.append(("expression", str(error)))
        return problems

    @property
    @override
    def dim(self) -> int:
        return self.value_dim or (1 if self.boundaries is None else 0)

    @property
    @override
    def sources(self) -> Sequence[Source]:
        return [Source.of(text) for text in self.variables or [f"item:{self.name}"]]

    def _program(self) -> Program:
        return _program(self.expression, tuple(source.name for source in self.sources))

    @override
    def compile(self, default: str, sequence: bool, folder: Path | None = None) -> Operator:
        if not self.expression:  # of an encoded column
            return Operator("copy", numbers=self.numbers())
        return Operator("expr", self._program().native(self.fill_missing), numbers=self.numbers())

    @override
    def reference(self, inputs: list[list[Any]]) -> list[Any]:
        numbers = [[as_number(value) for value in values] for values in inputs]
        try:
            return evaluate(self._program(), numbers, self.fill_missing) or []
        except UnequalLengthsError as error:
            raise BadValueError(str(error)) from error


_program = lru_cache(compile_expression)
