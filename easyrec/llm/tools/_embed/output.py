"""Tables of vectors: written in pieces, there whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from typing_extensions import Self

from easyrec.durable import sync
from easyrec.errors import DataError, RunError

ABOUT = b"easyrec.llm.embed"
"""In the schema of a table: what made it, as JSON."""
KINDS = {"float32": pa.float32(), "float16": pa.float16(), "int8": pa.int8()}


class Output:
    """A file of Parquet that is being written; the former one stays until all is there.

    Args:
        path: The file.
        numbers: What vectors are written as.
        about: What made it.

    Attributes:
        rows: That were written.

    Raises:
        RunError: The disk refuses.
    """

    def __init__(self, path: Path, numbers: str, about: Mapping[str, Any]) -> None:
        self.path, self.numbers, self.rows = path, numbers, 0
        self._about = {ABOUT: json.dumps(about).encode()}
        self._partial = path.with_name(f".{path.name}.writing")
        self._writer: pq.ParquetWriter | None = None

    def add(self, columns: Mapping[str, pa.Array], vectors: np.ndarray) -> None:
        """Write some rows; vectors (n, d) float32."""
        made = {**columns, **packed(vectors, self.numbers)}
        self.write(pa.table(made))

    def write(self, table: pa.Table) -> None:
        """Write some rows as they are."""
        try:
            if self._writer is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._writer = pq.ParquetWriter(self._partial, table.schema.with_metadata(self._about))
            self._writer.write_table(table.cast(self._writer.schema))
        except OSError as error:
            raise RunError(f"cannot write {self.path}: {error.strerror or error}") from None
        self.rows += table.num_rows

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()
        if kind is not None:
            self._partial.unlink(missing_ok=True)
            return
        try:
            sync(self._partial)
            self._partial.replace(self.path)
            sync(self.path.parent)
        except OSError as refused:
            raise RunError(f"cannot write {self.path}: {refused.strerror or refused}") from refused


def packed(vectors: np.ndarray, numbers: str) -> dict[str, pa.Array]:
    """The columns that hold vectors, (n, d) float32."""
    columns = {}
    if numbers == "int8":
        scale = np.maximum(np.abs(vectors).max(axis=1), 1e-30) / 127.0
        vectors = np.rint(vectors / scale[:, None]).astype(np.int8)
        columns["scale"] = pa.array(scale.astype(np.float32))
    elif numbers == "float16":
        vectors = vectors.astype(np.float16)
    values = pa.array(np.ascontiguousarray(vectors).reshape(-1), KINDS[numbers])
    return {"vector": pa.FixedSizeListArray.from_arrays(values, vectors.shape[1]), **columns}


def unpacked(table: pa.Table | pa.RecordBatch) -> np.ndarray:
    """(n, d) float32, the vectors of such columns."""
    column = table.column("vector")
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    values: np.ndarray = whole.flatten().to_numpy(zero_copy_only=False).astype(np.float32).reshape(len(whole), -1)
    if "scale" in table.schema.names:
        values = values * np.asarray(table.column("scale"))[:, None]
    return values


class Vectors:
    """A table of vectors that is there.

    Args:
        path: The file.

    Attributes:
        about: What made it.

    Raises:
        RunError: `easyrec llm embed` did not write it.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = pq.ParquetFile(path)
            self.about: dict[str, Any] = json.loads((self._file.schema_arrow.metadata or {})[ABOUT])
        except (OSError, pa.ArrowException, KeyError, ValueError):
            raise RunError(f"{path}: holds no vectors that `easyrec llm embed` wrote") from None
        self.path, self.names = path, self._file.schema_arrow.names

    @property
    def dim(self) -> int:
        """Numbers of a vector."""
        return int(self._file.schema_arrow.field("vector").type.list_size)

    def ids(self) -> pa.Array:
        """All ids."""
        found = self._file.read([self.about["id"]]).column(0).combine_chunks()
        return found.dictionary_decode() if pa.types.is_dictionary(found.type) else found

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All of it, in pieces."""
        yield from self._file.iter_batches()

    def whole(self) -> np.ndarray:
        """(N, d) float32, all vectors."""
        columns = [name for name in ("vector", "scale") if name in self.names]
        return np.concatenate(
            [np.zeros((0, self.dim), np.float32)]
            + [unpacked(batch) for batch in self._file.iter_batches(columns=columns)]
        )


def check_ids(ids: pa.Array, path: str, name: str) -> None:
    """Look whether every row has an id of its own.

    Raises:
        DataError: One is missing, or there twice.
    """
    if ids.null_count:
        raise DataError(
            "a row has no id",
            file=path,
            column=name,
            row=int(np.flatnonzero(ids.is_null().to_numpy(zero_copy_only=False))[0]),
        )
    counted = ids.value_counts()
    twice = counted.filter(pa.array(counted.field("counts").to_numpy() > 1))
    if len(twice):
        raise DataError(
            f"{len(twice):,} ids are there twice, such as {twice.field('values')[0].as_py()!r}", file=path, column=name
        )
