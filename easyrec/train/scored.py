"""Rows with their predictions as one Arrow table: to keep, or to send to another worker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from easyrec.batch import Batch
from easyrec.workers import Workers


@dataclass(frozen=True)
class Scored:
    """Some rows, as an evaluation reads them.

    Attributes:
        predictions: (B,) by task; (B, C) for tasks with classes.
        labels: (B,) by label.
        sample_weight: (B,), or None.
        reserved: Raw columns.
    """

    predictions: Mapping[str, np.ndarray]
    labels: Mapping[str, np.ndarray] = field(default_factory=dict)
    sample_weight: np.ndarray | None = None
    reserved: pa.Table | None = None

    @staticmethod
    def of(batch: Batch, predictions: Mapping[str, np.ndarray], columns: Sequence[str]) -> Scored:
        """The rows of a batch with some of its raw columns."""
        labels = {name: values.numpy() for name, values in batch.labels.items()}
        weight = None if batch.sample_weight is None else batch.sample_weight.numpy()
        reserved = None if batch.reserved is None else batch.reserved.select(list(columns))
        return Scored(predictions, labels, weight, reserved)

    def to_bytes(self) -> bytes:
        """The rows in Arrow's format."""
        arrays = {f"prediction:{name}": as_column(values) for name, values in self.predictions.items()}
        arrays |= {f"label:{name}": as_column(values) for name, values in self.labels.items()}
        if self.sample_weight is not None:
            arrays["weight"] = as_column(self.sample_weight)
        if self.reserved is not None:
            arrays |= {f"column:{n}": self.reserved.column(n) for n in self.reserved.column_names}
        table = pa.table(arrays).unify_dictionaries()
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return bytes(sink.getvalue())

    @staticmethod
    def from_bytes(data: bytes | np.ndarray) -> Scored:
        """What `to_bytes` gave."""
        table = pa.ipc.open_stream(pa.py_buffer(data)).read_all()

        def named(kind: str) -> dict[str, str]:
            return {n.removeprefix(kind): n for n in table.column_names if n.startswith(kind)}

        columns = named("column:")
        return Scored(
            {name: as_values(table[column]) for name, column in named("prediction:").items()},
            {name: as_values(table[column]) for name, column in named("label:").items()},
            as_values(table["weight"]) if "weight" in table.column_names else None,
            table.select(list(columns.values())).rename_columns(list(columns)) if columns else None,
        )


def of_all(workers: Workers, mine: Scored) -> Iterator[Scored]:
    """The rows of all workers, one worker's after another's, on the first one; nothing on the others."""
    if not workers.several:
        yield mine
        return
    data = mine.to_bytes() if len(next(iter(mine.predictions.values()))) else b""
    for part in workers.collected(np.frombuffer(data, np.uint8)) or ():
        if len(part):
            yield Scored.from_bytes(part)


def as_column(values: np.ndarray) -> pa.Array:
    """A copy; of (n, C) a list of C numbers a row."""
    flat = pa.array(np.array(values, np.float32).reshape(-1))
    return flat if values.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def as_values(column: pa.ChunkedArray) -> np.ndarray:
    """What `as_column` took."""
    array = column.combine_chunks()
    if isinstance(array, pa.FixedSizeListArray):
        return np.asarray(array.flatten().to_numpy(zero_copy_only=False)).reshape(len(array), -1)
    return np.asarray(array.to_numpy(zero_copy_only=False))
