"""`hive`: a table that a Hive metastore knows: it tells where the files are, their format, their columns and partitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import Field, field_validator

from easyrec.data.sources import Policy, Source, SourceConfig
from easyrec.data.sources import csv as csv_files
from easyrec.data.sources._files import File, list_files
from easyrec.data.sources._metastore import HiveTable, Metastore, values_of
from easyrec.data.sources._partitions import NULL, PartitionedSource, TypeName
from easyrec.data.sources._snapshots import SnapshotSource
from easyrec.data.sources._table_files import TableFiles
from easyrec.data.sources._where import Wanted, check, is_wanted, none_wanted, typed
from easyrec.errors import DataError
from feature_generator.config import worded

PARQUET = ("ParquetHiveSerDe", "parquet")
TEXT = ("LazySimpleSerDe",)
"""Ends of names of the classes that read a table's files."""

TEXT_FORMS = (
    ("skip.header.line.count", "0", "have header lines"),
    ("skip.footer.line.count", "0", "have lines of a footer"),
    ("escape.delim", "", "escape signs"),
    ("line.delim", "\n", "end their lines with another sign"),
)
"""What text files of a table may be like beside the plain ones: the key, what it is of these, and what it says."""


class Config(SourceConfig):
    """Config of `hive`.

    Attributes:
        metastore: `thrift://host:port`; several with commas between are tried in turn.
        table: `database.table`.
        where: Which partitions are read: by partition a value, a list of them, `{from: , to: }`, or
            `{last: 7, until: 20260131}`.
        locations: What stands for the start of a location, e.g. `{"hdfs://cluster": "webhdfs://namenode:9870"}`.
        storage_options: Options of the file system, as fsspec takes them.
        timeout: Seconds after which a metastore does not answer.
        threads: Whether columns of parquet files are decoded by several threads (Arrow's pool).
    """

    type: Literal["hive"] = "hive"
    metastore: str
    table: Annotated[str, worded(r"^[^.\s]+\.[^.\s]+$", "must be database.table")]
    where: dict[str, Wanted] = {}
    locations: dict[str, str] = {}
    storage_options: dict[str, Any] = {}
    timeout: float = Field(60.0, gt=0.0)
    threads: bool = True

    @field_validator("metastore")
    @classmethod
    def _is_thrift(cls, value: str) -> str:
        for url in value.split(","):
            host = url.strip().removeprefix("thrift://")
            if not url.strip().startswith("thrift://") or not host.partition(":")[2].isdecimal():
                raise ValueError(f"must be thrift://host:port, but is '{url.strip()}'")
        return value

    def open(self, bad_rows: Policy = "fail") -> Source:
        """The files of the table's partitions as they are now.

        Raises:
            MissingExtra: pymetastore is not installed.
        """
        return HiveSource(self, bad_rows)


class HiveSource(SnapshotSource):
    """Rows of a table's files. A table has no versions; what is pinned is which partitions are read.

    Args:
        config: Which table.
        bad_rows: What becomes of malformed lines, where the files are text.

    Raises:
        ConfigError: `where` does not fit the table's partitions.
        DataError: No metastore answers, there is no such table or partition, or its files cannot be read here.
    """

    def __init__(self, config: Config, bad_rows: Policy = "fail") -> None:
        self._config, self._bad_rows = config, bad_rows
        self._metastore = Metastore(config.metastore, config.table, config.timeout)
        super().__init__(config.table)

    def opened(self, pin: Mapping[str, Any] | None) -> tuple[Source, dict[str, Any]]:
        """The files in the folders of wanted partitions, or of those that are pinned."""
        table = self._metastore.describe()
        kinds = table.partitions
        check(self._config.where, kinds, self.table)
        if pin is not None:
            partitions = {name: str(location) for name, location in pin["partitions"]}
        elif kinds:
            names = self._wanted(kinds)
            partitions = dict(zip(names, self._metastore.locations(names), strict=True))
        else:
            partitions = {"": table.location}
        with ThreadPoolExecutor(8) as pool:  # folders of object stores cost a round trip each
            found = dict(zip(partitions, pool.map(self._files, partitions.values()), strict=True))
        files = [file for listed in found.values() for file in listed]
        if not files:
            raise DataError("has no files in the partitions that are wanted", file=self.table)
        source = self._rows(table, files)
        if kinds:
            values = {file.name: self._values(name, kinds) for name, listed in found.items() for file in listed}
            source = PartitionedSource(source, values, kinds)
        return source, {"partitions": [[name, location] for name, location in partitions.items()]}

    def _wanted(self, kinds: Mapping[str, pa.DataType]) -> list[str]:
        """The names of wanted partitions."""
        there = self._metastore.partitions()
        wanted = [name for name in there if is_wanted(self._config.where, self._values(name, kinds), kinds)]
        if not wanted:
            raise none_wanted(there, self.table)
        return wanted

    def _values(self, name: str, kinds: Mapping[str, pa.DataType]) -> dict[str, pa.Scalar]:
        found = {}
        for (column, kind), text in zip(kinds.items(), values_of(name), strict=True):
            value = pa.scalar(None, kind) if text == NULL else typed(text, kind)
            if value is None:
                raise DataError(f"'{text}' is no {kind}", column=column, file=f"{self.table}, partition {name}")
            found[column] = value
        return found

    def _files(self, location: str) -> list[File]:
        """The files of a folder; Hive calls them as it likes, such as `000000_0`."""
        for start, other in self._config.locations.items():
            if location.startswith(start):
                location = other + location[len(start) :]
                break
        else:
            location = location.removeprefix("file:") if location.startswith("file:/") else location
        return [
            file for file in list_files(location, ("",), self._config.storage_options, missing_ok=True) if file.size
        ]

    def _rows(self, table: HiveTable, files: Sequence[File]) -> Source:
        """The rows of the files, by the table's format."""
        if table.serde.endswith(PARQUET):
            stored = partial(_by_folded_name, table.columns)
            return TableFiles(files, table.columns, stored=stored, threads=self._config.threads)
        if not table.serde.endswith(TEXT):
            told = table.serde.rpartition(".")[2] or "a format that it does not tell"
            raise DataError(f"its files are read by {told}; here parquet and text files can be read", file=self.table)
        for key, plain, told in TEXT_FORMS:
            if table.format.get(key, plain) != plain:
                raise DataError(f"its text files {told}, which cannot be read here", file=self.table)
        separator = table.format.get("field.delim") or table.format.get("serialization.format") or "1"
        settings = csv_files.Config(
            path=table.location,
            columns=list(table.columns),
            separator=chr(int(separator)) if separator.isdecimal() else separator,  # a number is a sign's code
            quote=None,
            types={name: _text_type(kind) for name, kind in table.columns.items()},
            null_values=[table.format.get("serialization.null.format", "\\N")],
        )
        return csv_files.CsvSource(files, settings, self._bad_rows)


def _by_folded_name(columns: Mapping[str, pa.DataType], file: str, schema: pa.Schema) -> dict[str, str]:
    """What a file calls the columns that it has: other engines than Hive write capitals."""
    del file
    folded = {name.lower(): name for name in schema.names}
    return {name: folded[name.lower()] for name in columns if name.lower() in folded}


def _text_type(kind: pa.DataType) -> TypeName:
    """What a value of a text file is read as; lists and maps stay texts, which the generator splits."""
    if pa.types.is_integer(kind):
        return "int64" if kind == pa.int64() else "int32"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "float32" if kind == pa.float32() else "float64"
    if pa.types.is_boolean(kind):
        return "bool"
    return "timestamp" if pa.types.is_timestamp(kind) else "date" if pa.types.is_date(kind) else "string"
