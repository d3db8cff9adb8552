"""`Formula`: a safe expression over scores, columns of items, and numbers of the user and the context."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from feature_generator.expressions import ExpressionError, compile_expression
from feature_generator.expressions.functions import CONSTANTS
from feature_generator.expressions.tokens import tokens
from feature_generator.native import Expression
from serving.engine.rows import Floats, Ints, Rows

SIDES = ("user.", "context.")
"""`user.age`, `context.hour`: what begins so is a column of the request."""


def names_in(text: str) -> list[str]:
    """What an expression reads, in the order in which it is met.

    Raises:
        ExpressionError: The text is no expression.
    """
    found = list(tokens(text))
    names = [
        token.text
        for token, behind in pairwise(found)
        if token.kind == "quoted" or (token.kind == "name" and behind.text != "(" and token.text not in CONSTANTS)
    ]
    return list(dict.fromkeys(names))


def check_text(text: str) -> str:
    """An expression whose variables are not known yet.

    Raises:
        ValueError: It cannot be one, whatever they are.
    """
    compile_expression(text, names_in(text))
    return text


class Formula:
    """Numbers for items.

    Args:
        text: The expression.
        given: Variables that come with each call, such as scores.
        rows: The items whose columns it may read.

    Attributes:
        asks: Whether it reads columns of a request: then it cannot be computed ahead.

    Raises:
        ExpressionError: The text is no expression over these variables.
        DataError: A column is none of numbers.
    """

    def __init__(self, text: str, given: Collection[str], rows: Rows) -> None:
        used = names_in(text)
        columns = [name for name in rows.columns if rows.is_number(name)]
        known = [*given, *(name for name in columns if name not in given)]
        known += [name for name in used if name.startswith(SIDES)]
        texts = [name for name in used if name not in known and name in rows.columns]
        if texts:
            position = max(text.find(texts[0]), 0)
            kind = rows.table.schema.field(texts[0]).type
            raise ExpressionError(f"'{texts[0]}' is {kind} in the catalogue, and no number", text, position)
        if any(name not in known for name in used):
            compile_expression(text, known)  # says what is unknown, and what is near
        self.text, self._names, self._rows = text, used, rows
        self._given = frozenset(given)
        self._native = Expression(compile_expression(text, used).native())
        self.asks = any(name.startswith(SIDES) for name in used)

    def __call__(
        self, items: Ints | None, scores: Mapping[str, Any], asked: Callable[[str, str], Any] | None = None
    ) -> Floats:
        """Its value for each of some items; NaN where something that it reads is missing.

        Args:
            items: Their numbers; None: all.
            scores: Arrays by name, as `given` says.
            asked: Gives a value of a request, by side and column.
        """
        count = len(self._rows) if items is None else len(items)
        inputs = []
        for name in self._names:
            if name in self._given:
                values = np.ascontiguousarray(scores[name], np.float64)
            elif name.startswith(SIDES):
                side, _, column = name.partition(".")
                values = np.full(count, number_of(asked(side, column) if asked is not None else None))
            else:
                values = self._rows.numbers(name)
                values = values if items is None else values[items]
            inputs.append((values, None, None))
        found: Floats = self._native.run_single(inputs, count)
        return found


def number_of(value: Any) -> float:
    """A value of a request as a number; NaN where it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")
