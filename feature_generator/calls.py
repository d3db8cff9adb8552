"""Operators that are Python functions: flat buffers of the native plan as Arrow arrays, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from feature_generator.columns import value_lists
from feature_generator.errors import DataError


class Called:
    """A function over Arrow columns, as the native plan calls it: once per block of rows.

    Args:
        feature: Name of the feature, for errors.
        function: Takes one array per input, `list<string>`, `list<int64>` or `list<double>` with an entry per element,
            and the number of elements; returns an array with an entry per element.
    """

    def __init__(self, feature: str, function: Callable[[list[Any], int], Any]) -> None:
        self.feature, self.function = feature, function

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Called) and self.function == other.function

    def __hash__(self) -> int:
        return hash(self.function)

    def __call__(self, operands: list[tuple[Any, Any, Any]], elements: int) -> Any:
        """The function's result for these elements.

        Raises:
            DataError: The function failed; it is the cause.
        """
        try:
            made = self.function([value_lists(*operand, None) for operand in operands], elements)
        except DataError:
            raise
        except Exception as error:
            raise DataError(f"the operator failed: {type(error).__name__}: {error}", column=self.feature) from error
        if isinstance(made, pa.ChunkedArray):
            made = made.combine_chunks()
        if not hasattr(made, "__arrow_c_array__"):
            text = f"the operator must return an Arrow array, but returned a {type(made).__name__}"
            raise DataError(text, column=self.feature)
        if len(made) != elements:
            text = f"the operator returned {len(made)} values for {elements} elements"
            raise DataError(text, column=self.feature)
        return made
