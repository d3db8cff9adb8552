"""Requests whose tensors have the same names, types and shapes: checked once, and from then on read in one step.

Most requests for a model differ in their numbers alone. What a skeleton knows saves looking at each tensor; whatever is
unusual is read by `tensors`, which finds the same scores and says what is wrong.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import orjson
import pyarrow as pa

from feature_generator.native import FlatBatch, FlatLayout
from serving.server.columns import Question
from serving.server.http import Refused
from serving.server.models import Loaded, Model
from serving.server.tensors import TYPES, Tensor, question

FORMATS = {
    **{f"INT{n}": letter for n, letter in zip((8, 16, 32, 64), "csil", strict=True)},
    **{f"UINT{n}": letter for n, letter in zip((8, 16, 32, 64), "CSIL", strict=True)},
    "FP32": "f",
    "FP64": "g",
}
"""Arrow's letters of the types whose columns are nothing but numbers of that size."""
MOST_BYTES = 16_384
"""Larger keys are not kept."""
MOST_LISTS = 4096
"""Where all columns together have more lists, nothing is kept of a skeleton: it would hold where each of them ends."""
SIDES = ("user", "item", "context")


@dataclass(frozen=True)
class _Part:
    """The columns of one side: their layout, and which tensors they are."""

    layout: FlatLayout
    places: tuple[int, ...]

    def of_lists(self, lists: Sequence[Any]) -> FlatBatch | None:
        return self.layout.of_lists([lists[place] for place in self.places])


@dataclass(frozen=True)
class Frame:
    """What the tensors of a skeleton ask of a bundle.

    Attributes:
        parts: The columns of each side, None where it has none; or of rows, alone.
        rows: Whether all columns stand side by side.
    """

    parts: tuple[_Part | None, ...]
    rows: bool

    def of_bytes(self, binary: memoryview) -> Question | None:
        """The question of the tensors' bytes; None where a number is no finite one."""
        return self._question([part and part.layout.of_bytes(binary, 0) for part in self.parts])

    def of_lists(self, lists: Sequence[Any]) -> Question | None:
        """The question of a list of numbers for each tensor; None where one is something else, or does not fit."""
        return self._question([part and part.of_lists(lists) for part in self.parts])

    def _question(self, batches: list[FlatBatch | None]) -> Question | None:
        if any(batch is None and part is not None for batch, part in zip(batches, self.parts, strict=True)):
            return None
        if self.rows:
            return Question(rows=pa.record_batch(batches[0]))
        user, items, context = batches
        return Question(user, items, context)


class Skeleton:
    """Names, types and shapes of tensors.

    Args:
        tensors: A request's.

    Attributes:
        rows: The largest number of rows.
        size: Bytes of all numbers, one tensor after another.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.tensors = tuple((t.name, t.datatype, t.shape) for t in tensors)
        self.rows = max(t.rows for t in tensors)
        sizes = [int(np.prod(t.shape)) * np.dtype(TYPES[t.datatype]).itemsize for t in tensors]
        self.size = sum(sizes)
        self._starts = np.cumsum([0, *sizes]).tolist()
        self._frames: WeakKeyDictionary[Loaded, Frame | None] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def frame(self, model: Model, loaded: Loaded) -> Frame | None:
        """What is asked of a bundle; None where each request must be looked at."""
        try:
            return self._frames[loaded]
        except KeyError:
            found = self._made(model, loaded)
            with self._lock:
                self._frames[loaded] = found
            return found

    def _made(self, model: Model, loaded: Loaded) -> Frame | None:
        if model.config.inputs != "columns" or model.config.unique is not None:
            return None
        if any(name not in loaded.columns for name, _, _ in self.tensors):
            return None  # nobody reads it, but its numbers are looked at
        if sum(shape[0] for _, _, shape in self.tensors if len(shape) > 1) > MOST_LISTS:
            return None
        examples = [
            Tensor(name, datatype, shape, np.zeros(int(np.prod(shape)), TYPES[datatype]))
            for name, datatype, shape in self.tensors
        ]
        try:
            asked = question(model, loaded, examples)
        except Refused:
            return None
        batches = [asked.user, asked.items, asked.context] if asked.rows is None else [asked.rows]
        parts = [None if batch is None else self._part(batch) for batch in batches]
        if any(part is None and batch is not None for part, batch in zip(parts, batches, strict=True)):
            return None
        return Frame(tuple(parts), asked.rows is not None)

    def _part(self, batch: pa.RecordBatch) -> _Part | None:
        """The layout of a batch of such tensors; None where a column is no number, nor a list of them."""
        places = {name: place for place, (name, _, _) in enumerate(self.tensors)}
        columns = []
        for name, kind in zip(batch.schema.names, batch.schema.types, strict=True):
            listed = pa.types.is_large_list(kind)
            place = places.get(name)
            if place is None or not pa.types.is_primitive(kind.value_type if listed else kind):
                return None
            _, datatype, shape = self.tensors[place]
            columns.append((name, FORMATS[datatype], shape[1] if listed else -1, self._starts[place]))
        return _Part(FlatLayout(columns, batch.num_rows), tuple(places[name] for name in batch.schema.names))


def skeleton_of(tensors: Sequence[Tensor]) -> Skeleton | None:
    """The skeleton of a request; None where a tensor's values have not all the same size."""
    return Skeleton(tensors) if all(tensor.datatype in FORMATS for tensor in tensors) else None


def key_of(entries: Any) -> bytes | None:
    """What entries of `inputs` in JSON say beside their data; None where that is not told as usual."""
    try:
        parts = [(entry["name"], entry["datatype"], entry["shape"], entry.get("parameters")) for entry in entries]
        return orjson.dumps(parts)
    except (TypeError, LookupError, AttributeError, orjson.JSONEncodeError):
        return None


def lists_of(entries: Sequence[Mapping[str, Any]]) -> list[Any]:
    """The data of entries."""
    return [entry.get("data") for entry in entries]
