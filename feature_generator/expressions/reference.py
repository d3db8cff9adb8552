"""The meaning of an expression, one element at a time: the specification of the compiled evaluator."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from feature_generator.expressions.functions import EACH, REDUCE
from feature_generator.expressions.program import Program
from feature_generator.expressions.syntax import Apply, Number, Variable

LARGEST_FLOAT = 3.4028234663852886e38


class UnequalLengthsError(ValueError):
    """Vectors that do not fit each other met in one operation."""


@dataclass(frozen=True)
class _Unequal:
    """The value of a subexpression whose vectors do not fit; an error unless `?:` drops it."""

    reason: str


_Value: TypeAlias = "list[float] | _Unequal"


def evaluate(
    program: Program, values: Sequence[Sequence[float]], fill_missing: float | None = None
) -> list[float] | None:
    """The value of the expression for one element: a number or the numbers of a vector; None where it is missing.

    It is missing where a variable is (has no value) and `fill_missing` is None, and where a result is no finite
    float32 number.

    Raises:
        UnequalLengthsError: Vectors of unequal length met and `fill_missing` is None.
    """
    if fill_missing is None and any(not value for value in values):
        return None
    stack: list[_Value] = []
    for step in program.steps:
        if isinstance(step, Number):
            stack.append([step.value])
        elif isinstance(step, Variable):
            stack.append([float(x) for x in values[step.index]] or [float(fill_missing or 0.0)])
        else:
            operands = stack[-step.operands :]
            del stack[-step.operands :]
            stack.append(_apply(step, operands, fill_missing))
    result = stack[-1]
    if isinstance(result, _Unequal):
        raise UnequalLengthsError(result.reason)
    return result if all(math.isfinite(x) and abs(x) <= LARGEST_FLOAT for x in result) else None


def _apply(step: Apply, operands: list[_Value], fill: float | None) -> _Value:
    name = step.operation
    condition = operands[0]
    if name == "select" and not isinstance(condition, _Unequal) and len(condition) == 1:
        return operands[1] if condition[0] != 0 else operands[2]
    vectors = []
    for operand in operands:
        if isinstance(operand, _Unequal):
            return operand
        vectors.append(operand)
    longest = max(len(vector) for vector in vectors)
    for at, vector in enumerate(vectors):
        if len(vector) == longest:
            continue
        if len(vector) == 1 and name not in REDUCE:
            vectors[at] = vector * longest
        elif fill is not None:
            vectors[at] = vector + [fill] * (longest - len(vector))
        else:
            return _Unequal(f"{name} of vectors with {' and '.join(str(len(v)) for v in vectors)} values")
    if name in REDUCE:
        return [REDUCE[name](*vectors)]
    if name == "select":
        return [yes if test != 0 else no for test, yes, no in zip(*vectors, strict=True)]
    return [EACH[name](*places) for places in zip(*vectors, strict=True)]
