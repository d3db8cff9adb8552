"""The expression language of features: numbers, variables, operators and functions; nothing is ever `eval`uated.

`compile_expression` checks a text and makes a program; the compiled class `Expression` runs it over blocks of elements;
`evaluate` says what it means for one element.
"""

from __future__ import annotations

from feature_generator.expressions.program import Program, compile_expression, normalizer_expression
from feature_generator.expressions.reference import UnequalLengthsError, evaluate
from feature_generator.expressions.tokens import ExpressionError

__all__ = [
    "ExpressionError",
    "Program",
    "UnequalLengthsError",
    "compile_expression",
    "evaluate",
    "normalizer_expression",
]
