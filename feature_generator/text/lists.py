"""Functions of texts over the elements of a feature, each of which holds any number of texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Texts: TypeAlias = pa.LargeStringArray
Offsets: TypeAlias = npt.NDArray[np.int64]


def each(function: Callable[[Texts], Texts]) -> Callable[[list[Any], int], Any]:
    """The operator that puts `function`'s text in the place of every text; empty ones are no values."""

    def run(inputs: list[Any], elements: int) -> Any:
        offsets, texts = flat(inputs[0])
        return pa.LargeListArray.from_arrays(pa.array(offsets), function(texts))

    return run


def flat(lists: pa.LargeListArray) -> tuple[Offsets, Texts]:
    """Where the texts of each element start and end, and the texts of all elements as valid UTF-8.

    Bytes that are no UTF-8, which a column of binary may hold, become U+FFFD.
    """
    offsets = lists.offsets.to_numpy()
    texts = lists.values.slice(offsets[0], offsets[-1] - offsets[0])
    if not pa.types.is_large_string(texts.type):  # no value at all
        texts = texts.cast(pa.large_string())
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        raw = texts.cast(pa.large_binary()).to_pylist()
        texts = pa.array([text.decode("utf-8", "replace") for text in raw], pa.large_string())
    return offsets - offsets[0], texts
