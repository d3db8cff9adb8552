"""`Feed`: any number of rows in blocks of bounded size, with the place of every row."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from feature_generator.errors import DataError, nearest

BLOCK_BYTES = 8 << 20
"""Memory of a block's columns, about."""

BLOCK_ROWS = 1 << 16
PROBE_ROWS = 1 << 10
"""Rows from the start of a row group that tell how wide its rows are in memory."""

PAGE_BYTES = 256 << 10
"""Bytes of a column chunk that are read at once; without it the whole chunk is."""

SUFFIXES = (".parquet", ".parq")


@dataclass(frozen=True)
class Place:
    """Where a row is found: a 0-based row of a file, or a 1-based line of a text file."""

    file: str
    row: int | None = None
    line: int | None = None


@dataclass(frozen=True)
class Block:
    """Some consecutive rows.

    Attributes:
        batch: The rows.
        locate: The place of a row of the batch.
        done: Share of all rows that have been read with this block, 0 .. 1.
    """

    batch: pa.RecordBatch
    locate: Callable[[int], Place]
    done: float


class Feed(ABC):
    """Rows to be read once.

    Attributes:
        schema: Columns that there are.
        size: Bytes of all files, 0 where nobody knows.
        paths: Files that are read, as far as they lie on this machine.
        dropped: Malformed rows that were left out or mended while reading: how many, by reason.
    """

    schema: pa.Schema
    size: int = 0
    paths: Sequence[Path] = ()

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()

    @abstractmethod
    def blocks(self, columns: Sequence[str]) -> Iterator[Block]:
        """All rows in their order; batches hold exactly `columns`.

        Raises:
            DataError: A file cannot be read, or lacks a column.
        """


class ParquetFeed(Feed):
    """Rows of parquet files, decoded page by page: a row group of any size needs little memory.

    Args:
        paths: The files in their order.

    Raises:
        DataError: A file is no parquet file.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        super().__init__()
        self.paths = list(paths)
        footers = [self._footer(path) for path in self.paths]
        self.schemas = [schema for schema, _ in footers]
        self.schema = self.schemas[0]
        self.rows = [rows for _, rows in footers]
        self.size = sum(path.stat().st_size for path in self.paths)

    def blocks(self, columns: Sequence[str]) -> Iterator[Block]:
        """The rows, file by file and row group by row group."""
        total, read = max(1, sum(self.rows)), 0
        for path, schema in zip(self.paths, self.schemas, strict=True):
            for name in columns:
                if name not in schema.names:
                    raise DataError(f"the column is missing{nearest(name, schema.names)}", column=name, file=str(path))
            row = 0
            for batch in self._batches(path, columns):
                read += batch.num_rows
                yield Block(batch, _counter(str(path), row), read / total)
                row += batch.num_rows

    def _batches(self, path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        group = 0
        try:
            with self._open(path) as file:
                for group in range(file.num_row_groups):
                    rows = file.metadata.row_group(group).num_rows
                    yield from self._group(file, group, rows, list(columns))
        except (pa.ArrowException, OSError, EOFError) as error:
            raise DataError(f"row group {group} cannot be read: {first_line(error)}", file=str(path)) from error

    @staticmethod
    def _group(file: pq.ParquetFile, group: int, rows: int, columns: list[str]) -> Iterator[pa.RecordBatch]:
        if not columns:  # features of constants alone: only the number of rows counts
            empty = pa.RecordBatch.from_struct_array(pa.nulls(min(rows, BLOCK_ROWS), pa.struct([])))
            for start in range(0, rows, BLOCK_ROWS):
                yield empty.slice(0, rows - start)
            return
        size = max(1, min(rows, BLOCK_ROWS))
        if rows > PROBE_ROWS:
            probe = next(file.iter_batches(PROBE_ROWS, row_groups=[group], columns=columns), None)
            if probe is not None:
                width = max(1.0, probe.nbytes / max(1, probe.num_rows))
                size = max(1, min(size, int(BLOCK_BYTES / width)))
        for batch in file.iter_batches(size, row_groups=[group], columns=columns):
            yield from cut(batch.select(columns), BLOCK_BYTES)

    @staticmethod
    def _open(path: Path) -> pq.ParquetFile:
        return pq.ParquetFile(path, pre_buffer=False, buffer_size=PAGE_BYTES, page_checksum_verification=True)

    def _footer(self, path: Path) -> tuple[pa.Schema, int]:
        try:
            with self._open(path) as file:
                return file.schema_arrow, file.metadata.num_rows
        except FileNotFoundError:
            raise DataError("there is no such file", file=str(path)) from None
        except (pa.ArrowException, OSError, EOFError) as error:
            raise DataError(f"is no readable parquet file: {first_line(error)}", file=str(path)) from error


class BatchFeed(Feed):
    """Record batches that someone else reads, one after another; rows are counted over all of them.

    Args:
        batches: The batches; the first one's schema is the feed's.
    """

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        super().__init__()
        self._batches = iter(batches)
        self._first = next(self._batches, None)
        self.schema = pa.schema([]) if self._first is None else self._first.schema

    def blocks(self, columns: Sequence[str]) -> Iterator[Block]:
        """The batches, cut where they are too large."""
        batch, row = self._first, 0
        while batch is not None:
            for part in cut(batch.select(list(columns)), BLOCK_BYTES):
                yield Block(part, _counter("", row), 0.0)
                row += part.num_rows
            batch = next(self._batches, None)


def cut(batch: pa.RecordBatch, most: int) -> Iterator[pa.RecordBatch]:
    """The batch in equal parts of about `most` bytes, and at most `BLOCK_ROWS` rows, not copied."""
    rows = batch.num_rows
    parts = max(1, round(batch.nbytes / most), -(-rows // BLOCK_ROWS))
    size = max(1, -(-rows // parts))
    for start in range(0, rows, size):
        yield batch.slice(start, size)


def find_files(inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Parquet files behind files, folders and globs, those of each sorted by name.

    Raises:
        DataError: One leads to no file.
    """
    found: list[Path] = []
    for given in [inputs] if isinstance(inputs, str | os.PathLike) else inputs:
        text = os.fspath(given)
        path = Path(text)
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.name.endswith(SUFFIXES) and not _hidden(p.relative_to(path)))
        elif path.exists() or not any(c in text for c in "*?["):  # what is called so is meant, not matched
            files = [path]
        else:
            root = Path(path.anchor or ".")
            files = sorted(p for p in root.glob(str(path.relative_to(root)) if path.anchor else text) if p.is_file())
        if not files:
            what = "the folder holds no parquet file" if path.is_dir() else "no file matches this pattern"
            raise DataError(what, file=text)
        found += files
    return found


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


def _counter(file: str, first: int) -> Callable[[int], Place]:
    return lambda row: Place(file, first + row)


def first_line(error: BaseException) -> str:
    """What an error of Arrow says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
