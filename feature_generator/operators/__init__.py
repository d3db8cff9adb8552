"""Operators of `custom` features, one a file: `operator_name: EditDistance` is the class `Operator` in `edit_distance.py`.

An operator gets the columns of a feature as Arrow arrays with an entry per element - a row, or a step of a sequence -
and returns an array with as many. Outside packages add theirs as files `<package>/operators/<name>.py` that are
plugged in, or as entry points of the group `feature_generator.operators`; a config alone never loads code.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import pyarrow as pa

from feature_generator.config import StrictModel

Form: TypeAlias = Literal["text", "number", "any"]
"""How values reach an operator: as text, as doubles, or as what the column holds."""


class Parameters(StrictModel):
    """The `operator_params` of an operator that has none."""


class BadParameterError(ValueError):
    """A parameter that cannot work.

    Args:
        key: Which of the `operator_params`.
        message: What is wrong with it.
    """

    def __init__(self, key: str, message: str) -> None:
        self.key = key
        super().__init__(message)


class CustomOperator(ABC):
    """A function over columns, and what it needs to know.

    An instance is shared by threads: `__call__` must not change it, and the result of an element must depend on that
    element's values alone, for blocks of rows are cut anywhere.

    Args:
        params: The `operator_params`, as an instance of `parameters`.
        names: Names of the inputs, in their order.
    """

    parameters: ClassVar[type[StrictModel]] = Parameters
    """Model of the `operator_params`."""
    inputs: ClassVar[tuple[int, int]] = (1, 64)
    """Fewest and most inputs."""
    form: ClassVar[Form] = "any"
    """How values arrive. What is no text or no number then is a bad value of its row, and missing here."""
    multi_value: ClassVar[bool] = False
    """Whether columns are lists with all values of each element; else plain arrays with the first, null where none."""

    def __init__(self, params: Any, names: Sequence[str]) -> None:
        self.params, self.names = params, tuple(names)
        self.prepare()

    def prepare(self) -> None:  # noqa: B027 (most operators need none)
        """What is done once, before any row.

        Raises:
            BadParameterError: A parameter cannot work.
        """

    @abstractmethod
    def __call__(self, *columns: Any) -> Any:
        """The result for a block of elements.

        Args:
            columns: One Arrow array per input, of equal lengths.

        Returns:
            An Arrow array of that length, of text or numbers, or of lists of them; null: the element has no value and
            takes the feature's default.
        """

    def native(self) -> tuple[str, dict[str, Any]] | None:
        """An operation of the compiled plan that does the same, and its parameters; None: there is none."""
        return None

    def reference(self, inputs: list[list[Any]]) -> list[Any]:
        """The values of one element from those of its inputs: the specification; by default `__call__` itself."""
        columns = [pa.array([values], pa.large_list(_kind(values, self.form))) for values in inputs]
        made = self(*(columns if self.multi_value else map(first_values, columns)))
        (result,) = (made.combine_chunks() if isinstance(made, pa.ChunkedArray) else made).to_pylist()
        values = result if isinstance(result, list) else [result]
        kind = made.type.value_type if isinstance(result, list) else made.type
        narrow = pa.types.is_float32(kind)
        return [np.float32(value) if narrow else value for value in values if value is not None and value != ""]


def _kind(values: Sequence[Any], form: Form) -> pa.DataType:
    if form == "number":
        return pa.float64()
    if form == "text" or not values or any(isinstance(value, str) for value in values):
        return pa.large_string()
    return pa.int64() if all(isinstance(value, int | np.integer) for value in values) else pa.float64()


def first_values(lists: pa.LargeListArray) -> pa.Array:
    """The first value of each list, null of an empty one."""
    offsets = lists.offsets.to_numpy()
    missing = offsets[1:] == offsets[:-1]
    return lists.values.take(pa.array(offsets[:-1], mask=missing))


def file_name(operator_name: str) -> str:
    """The file of an operator: `EditDistance` and `edit_distance` are both in `edit_distance`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", operator_name).lower()


def class_name(file: str) -> str:
    """The name of the operator in `file` as configs write it: `edit_distance` is `EditDistance`."""
    return "".join(part[:1].upper() + part[1:] for part in file.split("_"))
