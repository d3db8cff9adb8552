"""`SeqExpr`: a formula over columns of numbers, of every step where it stands in a sequence."""

from __future__ import annotations

from typing import Any, ClassVar

import pyarrow as pa
from pydantic import Field
from typing_extensions import override

from feature_generator.config import StrictModel
from feature_generator.expressions import UnequalLengthsError, compile_expression, evaluate
from feature_generator.expressions.functions import FUNCTIONS, VARIADIC
from feature_generator.operators import BadParameterError, CustomOperator, Form
from feature_generator.values import BadValueError


class Parameters(StrictModel):
    """Parameters of `SeqExpr`."""

    formula: str = Field(min_length=1)
    """The expression, over the names of the columns; the bare name of a function stands for it over all inputs."""


class Operator(CustomOperator):
    """The formula, as the feature type `expr` computes it."""

    parameters = Parameters
    form: ClassVar[Form] = "number"
    multi_value = True

    @override
    def prepare(self) -> None:
        formula = self.params.formula.strip()
        if formula in {*FUNCTIONS, *VARIADIC} and formula not in self.names:
            formula = f"{formula}({', '.join(self.names)})"
        try:
            self.program = compile_expression(formula, self.names)
        except ValueError as error:
            raise BadParameterError("formula", str(error)) from None

    @override
    def native(self) -> tuple[str, dict[str, Any]]:
        return "expr", self.program.native()

    @override
    def __call__(self, *columns: Any) -> Any:
        rows = zip(*(column.to_pylist() for column in columns), strict=True)
        return pa.array([self.reference([list(values) for values in row]) for row in rows], pa.list_(pa.float64()))

    @override
    def reference(self, inputs: list[list[Any]]) -> list[Any]:
        try:
            return evaluate(self.program, inputs, None) or []
        except UnequalLengthsError as error:
            raise BadValueError(str(error)) from error
