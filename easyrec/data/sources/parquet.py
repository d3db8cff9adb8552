"""`parquet`: files of row groups; a unit is a row group, read whole."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock, get_ident
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from easyrec.data.sources import Policy, Source, Unit
from easyrec.data.sources._files import File
from easyrec.data.sources._partitions import PartitionedConfig
from easyrec.errors import DataError
from feature_generator.origin import Origin, read_origin

OPEN_FILES = 16
"""Files kept open; shuffled row groups jump between files."""

STREAMED_BYTES = 1 << 30
"""Row groups larger than this (decoded) are read in pieces, so that memory stays bounded."""


class Config(PartitionedConfig):
    """Config of `parquet`.

    Attributes:
        path: File, folder, glob or a list of them; local, or a URL that fsspec knows (`s3://`, `hdfs://` ...).
        partitions, where: Folders that are columns, see `PartitionedConfig`.
        storage_options: Options of the file system, as fsspec takes them.
        threads: Whether columns are decoded by several threads (Arrow's pool).
    """

    type: Literal["parquet"] = "parquet"
    threads: bool = True

    def open(self, bad_rows: Policy = "fail") -> Source:
        """The files' footers, read."""
        del bad_rows  # a parquet row cannot be malformed on its own
        files = self.files((".parquet", ".parq"))
        return self.opened(ParquetSource(files, threads=self.threads), files)


class ParquetSource(Source):
    """Row groups of parquet files.

    Args:
        files: Files in their order; the first one's schema is the source's.
        threads: Whether columns are decoded by several threads.

    Raises:
        DataError: A file is no parquet file, or is truncated.
    """

    def __init__(self, files: Sequence[File], *, threads: bool = True) -> None:
        self.files, self.threads = list(files), threads
        # Several loaders may read one source, each in its thread; a reader is no thing to share.
        self._open: OrderedDict[tuple[int, int], pq.ParquetFile] = OrderedDict()
        self._lock = Lock()
        with ThreadPoolExecutor(8) as pool:  # footers of remote files cost a round trip each
            footers = list(pool.map(_footer, self.files))
        self._metadata = [schema.metadata for schema, _ in footers]
        self.schemas = [schema.remove_metadata() for schema, _ in footers]
        self.columns = {field.name: field.type for field in self.schemas[0]}
        self._units: list[Unit] = []
        self._groups: list[tuple[int, int]] = []
        for index, (file, (_, groups)) in enumerate(zip(self.files, footers, strict=True)):
            first = 0
            for group, rows in enumerate(groups):
                description = f"{file.name}, row group {group}"
                self._units.append(Unit(len(self._units), rows, description, file.name, first))
                self._groups.append((index, group))
                first += rows

    def units(self) -> list[Unit]:
        """All row groups, file by file."""
        return self._units

    def require(self, columns: Sequence[str], why: str = "") -> None:
        """Check that all files have `columns`, each with one type.

        Raises:
            ConfigError: A column is absent from the first file.
            DataError: A column is absent from another file, or has another type there; or a file has it twice.
        """
        super().require(columns, why)
        for file, schema in zip(self.files, self.schemas, strict=True):
            for name in dict.fromkeys(columns):
                if len(schema.get_all_field_indices(name)) > 1:
                    raise DataError("the file has several columns of this name", column=name, file=file.name)
        for file, schema in zip(self.files[1:], self.schemas[1:], strict=True):
            if schema is self.schemas[0] or schema == self.schemas[0]:
                continue
            for name in dict.fromkeys(columns):
                index = schema.get_field_index(name)
                if index < 0:
                    raise DataError(f"absent here, but present in {self.files[0].name}", column=name, file=file.name)
                ours, first = schema.field(index).type, self.columns[name]
                if _kind(ours) != _kind(first):
                    text = f"has type {ours} here, but {first} in {self.files[0].name}"
                    raise DataError(text, column=name, file=file.name)

    def read(self, unit: Unit, columns: Sequence[str], start_row: int = 0) -> Iterator[pa.RecordBatch]:
        """The row group, decoded at once; only `columns` are read from the file."""
        index, group = self._groups[unit.index]
        try:
            file = self._file(index)
            if _decoded_bytes(file, group, columns) > STREAMED_BYTES:
                batches = file.iter_batches(
                    1 << 16, row_groups=[group], columns=list(columns), use_threads=self.threads
                )
            else:
                table = file.read_row_group(group, columns=list(columns), use_threads=self.threads)
                batches = iter(table.select(list(columns)).to_batches())
            for batch in batches:
                if start_row >= batch.num_rows:
                    start_row -= batch.num_rows
                    continue
                yield batch.select(list(columns)).slice(start_row)
                start_row = 0
        except (pa.ArrowException, OSError, EOFError) as error:
            self.close()
            raise DataError(f"row group {group} cannot be read: {_first_line(error)}", file=unit.file) from error

    def origins(self) -> Iterator[tuple[str, Origin]]:
        """What the files' schemas say."""
        for file, metadata in zip(self.files, self._metadata, strict=True):
            origin = read_origin(metadata, file.name)
            if origin is not None:
                yield file.name, origin

    def bounds(self, unit: Unit, column: str) -> tuple[pa.Scalar, pa.Scalar] | None:
        """The smallest and largest value as the row group's statistics say."""
        index, group = self._groups[unit.index]
        field = self.schemas[index].get_field_index(column)
        kind = self.schemas[index].field(max(field, 0)).type
        if field < 0 or pa.types.is_nested(kind) or pa.types.is_dictionary(kind):
            return None
        meta = self._file(index).metadata.row_group(group)
        chunks = (meta.column(i) for i in range(meta.num_columns))
        found = next((chunk.statistics for chunk in chunks if chunk.path_in_schema == column), None)
        if found is None or not found.has_min_max:
            return None
        try:
            return pa.scalar(found.min, kind), pa.scalar(found.max, kind)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):  # a writer's odd statistics
            return None

    def close(self) -> None:
        """Let go of all files; one that a thread reads is closed when it is done."""
        with self._lock:
            self._open.clear()

    def _file(self, index: int) -> pq.ParquetFile:
        key = (get_ident(), index)
        with self._lock:
            opened = self._open.pop(key, None)
        opened = opened or _open(self.files[index])
        with self._lock:
            self._open[key] = opened
            while len(self._open) > OPEN_FILES:
                self._open.popitem(last=False)  # closed when nobody reads it any more
        return opened


def _open(file: File) -> pq.ParquetFile:
    where = file.path if file.local else file.open()
    return pq.ParquetFile(where, pre_buffer=not file.local, page_checksum_verification=True)


def _footer(file: File) -> tuple[pa.Schema, list[int]]:
    """The file's schema, and the number of rows of its row groups."""
    try:
        opened = _open(file)
        meta = opened.metadata
        schema, groups = opened.schema_arrow, [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
        opened.close(force=True)
    except (pa.ArrowException, OSError, EOFError) as error:
        raise DataError(f"is no readable parquet file: {_first_line(error)}", file=file.name) from error
    return schema, groups


def _decoded_bytes(file: pq.ParquetFile, group: int, columns: Sequence[str]) -> int:
    wanted, meta = set(columns), file.metadata.row_group(group)
    if meta.total_byte_size <= STREAMED_BYTES:
        return int(meta.total_byte_size)
    chunks = (meta.column(i) for i in range(meta.num_columns))
    return sum(c.total_uncompressed_size for c in chunks if c.path_in_schema.split(".", 1)[0] in wanted)


def _kind(kind: pa.DataType) -> pa.DataType:
    """The type without what is only its encoding: dictionaries, large offsets, views."""
    if pa.types.is_dictionary(kind):
        return _kind(kind.value_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    if pa.types.is_large_list(kind) or pa.types.is_list(kind):
        return pa.list_(_kind(kind.value_type))
    return kind


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
