"""The proof that a bundle carries: raw rows, what the generator made of them, and how they were scored.

    rows.arrow       raw columns, as they were read
    scores.arrow     per task `prediction:<task>`, as trained, and `score:<task>`, the same calibrated
    features.json    sha256 of each output of the generator over these rows

Knows no torch.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from easyrec.errors import BundleError
from easyrec.export.strict_json import dump, read_json
from feature_generator.columns import Column, Ragged, Table

FOLDER = "warmup"


@dataclass(frozen=True)
class WarmupRows:
    """Rows with their features and scores.

    Attributes:
        rows: R rows of the raw columns that the generator reads.
        predictions: By task, (R,) float32, (R, num_classes), or a vector per row: before calibration.
        scores: The same after it.
        features: Digest of each output, as `feature_digests` makes it.
    """

    rows: pa.RecordBatch
    predictions: Mapping[str, np.ndarray]
    scores: Mapping[str, np.ndarray]
    features: Mapping[str, str]

    def save(self, folder: Path) -> None:
        """Write the three files into an existing folder."""
        columns = {f"prediction:{name}": _to_arrow(values) for name, values in self.predictions.items()}
        columns |= {f"score:{name}": _to_arrow(values) for name, values in self.scores.items()}
        _write(folder / "rows.arrow", self.rows)
        _write(folder / "scores.arrow", pa.record_batch(columns))
        (folder / "features.json").write_bytes(dump(dict(self.features)))

    @staticmethod
    def load(folder: Path) -> WarmupRows:
        """Read what `save` wrote.

        Raises:
            BundleError: A file is damaged, or they do not belong together.
        """
        rows, scores = _read(folder / "rows.arrow"), _read(folder / "scores.arrow")
        features = read_json(folder / "features.json")
        if rows.num_rows != scores.num_rows:
            raise BundleError(f"{folder}: {rows.num_rows} rows, but {scores.num_rows} scores")
        if not isinstance(features, dict) or not all(isinstance(v, str) for v in features.values()):
            raise BundleError(f"{folder / 'features.json'}: must map outputs to digests")
        columns: dict[str, dict[str, np.ndarray]] = {"prediction": {}, "score": {}}
        for name in scores.schema.names:
            kind, _, task = name.partition(":")
            if kind not in columns:
                raise BundleError(f"{folder / 'scores.arrow'}: has an unknown column '{name}'")
            columns[kind][task] = _to_numpy(scores[name], folder)
        if columns["prediction"].keys() != columns["score"].keys():
            raise BundleError(f"{folder / 'scores.arrow'}: must hold a prediction and a score for every task")
        return WarmupRows(rows, columns["prediction"], columns["score"], features)


def feature_digests(table: Table) -> dict[str, str]:
    """sha256 of each column's shape and bytes; the same for equal features, whatever shorthand the table uses."""
    return {name: _digest(_parts(column, table.num_rows)) for name, column in table.items()}


def largest_error(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest |found - expected| / max(1, |expected|); infinite where shapes differ or one alone is NaN.

    Of vectors, (B, .., D), the length counts as |expected|: rounding is shared among their numbers.
    """
    if found.shape != expected.shape:
        return float("inf")
    same = (found == expected) | (np.isnan(found) & np.isnan(expected))
    exact = expected.astype(np.float64)
    scale = np.abs(exact)
    if exact.ndim > 1:
        lengths = np.linalg.norm(np.where(np.isfinite(exact), exact, 0.0), axis=-1, keepdims=True)
        scale = np.broadcast_to(lengths, exact.shape)
    error = np.abs(found[~same] - exact[~same]) / np.maximum(1.0, scale[~same])
    return float(np.where(np.isnan(error), np.inf, error).max(initial=0.0))


def _parts(column: Column | Ragged, rows: int) -> Iterable[np.ndarray]:
    if isinstance(column, Column):
        return (column.values,)
    elements = len(column.values) if column.key_offsets is None else len(column.key_offsets) - 1
    offsets = np.arange(rows + 1) if column.offsets is None else column.offsets
    keys = np.arange(elements + 1) if column.key_offsets is None else column.key_offsets
    weights = np.ones(0, np.float32) if column.weights is None else column.weights
    return (column.values, offsets, keys, weights)


def _digest(arrays: Iterable[np.ndarray]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        digest.update(f"{plain.dtype.str}{plain.shape};".encode())
        digest.update(plain.tobytes())
    return digest.hexdigest()


def _to_arrow(values: np.ndarray) -> pa.Array:
    column = pa.array(np.ascontiguousarray(values, dtype=np.float32).reshape(-1))
    for size in reversed(values.shape[1:]):
        column = pa.FixedSizeListArray.from_arrays(column, size)
    return column


def _to_numpy(column: pa.Array, folder: Path) -> np.ndarray:
    shape = [len(column)]
    while pa.types.is_fixed_size_list(column.type):
        shape.append(column.type.list_size)
        column = column.flatten()
    if not pa.types.is_float32(column.type) or column.null_count or len(column) != math.prod(shape):
        raise BundleError(f"{folder / 'scores.arrow'}: scores must be float32 without nulls")
    values: np.ndarray = column.to_numpy(zero_copy_only=False)
    return values.reshape(shape)


def _write(path: Path, batch: pa.RecordBatch) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)


def _read(path: Path) -> pa.RecordBatch:
    """The one batch of an Arrow file; its buffers are checked, since a forged file could point outside of them."""
    try:
        with pa.OSFile(str(path)) as source:
            reader = pa.ipc.open_file(source)
            if reader.num_record_batches != 1:
                raise BundleError(f"{path}: must hold one record batch, but holds {reader.num_record_batches}")
            batch = reader.get_batch(0)
            batch.validate(full=True)
            return batch
    except (pa.ArrowException, OSError) as error:
        raise BundleError(f"{path}: cannot be read: {error}") from None
