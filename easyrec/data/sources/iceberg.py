"""`iceberg`: a snapshot of an Apache Iceberg table; a unit is a row group of one of its files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any, BinaryIO, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem
from pydantic import ConfigDict, model_validator
from typing_extensions import Self

from easyrec.data.sources import Policy, Source, SourceConfig
from easyrec.data.sources._files import File
from easyrec.data.sources._options import SecretOptions, plain, told_of
from easyrec.data.sources._partitions import PartitionedSource
from easyrec.data.sources._snapshots import Moment, SnapshotSource, moment_of
from easyrec.data.sources._table_files import TableFiles
from easyrec.data.sources._where import Wanted, check, holds, none_wanted
from easyrec.errors import DataError, MissingExtra
from feature_generator.config import worded

ID = b"PARQUET:field_id"
"""Key of a field's number, by which the format knows it whatever it is called."""


class Config(SourceConfig):
    """Config of `iceberg`.

    Attributes:
        table: `namespace.table` in the catalogue.
        metadata: Path of a table's `*.metadata.json`, where there is no catalogue.
        catalog: Name of the catalogue: one of `.pyiceberg.yaml`, or any that `properties` describe.
        properties: Of the catalogue and of its files, as pyiceberg takes them: `{type: rest, uri: ...}`. Write secrets as
            `${NAME}`.
        snapshot: Id of the snapshot to read; without it the current one.
        timestamp: Read the snapshot that was the current one at this ISO moment, UTC where it names no zone.
        ref: Read the snapshot of this branch or tag.
        where: Which files are read, by fields of the partition spec (`at_day` for days of `at`): a value, a list of
            them, `{from: , to: }`, or `{last: 7, until: 2026-01-31}`.
        threads: Whether columns are decoded by several threads (Arrow's pool).
    """

    model_config = ConfigDict(hide_input_in_errors=True)  # properties may hold secrets

    type: Literal["iceberg"] = "iceberg"
    table: Annotated[str, worded(r"^([^.\s]+\.)+[^.\s]+$", "must be namespace.table")] | None = None
    metadata: Annotated[str, worded(r"\.metadata\.json$", "must end in .metadata.json")] | None = None
    catalog: str = "default"
    properties: SecretOptions = {}
    snapshot: int | None = None
    timestamp: Moment | None = None
    ref: str | None = None
    where: dict[str, Wanted] = {}
    threads: bool = True

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if (self.table is None) == (self.metadata is None):
            raise ValueError("give either 'table' or 'metadata'")
        if sum(value is not None for value in (self.snapshot, self.timestamp, self.ref)) > 1:
            raise ValueError("give one of 'snapshot', 'timestamp' and 'ref'")
        return self

    def open(self, bad_rows: Policy = "fail") -> Source:
        """The files of the snapshot, with their footers read.

        Raises:
            MissingExtra: pyiceberg is not installed.
        """
        del bad_rows  # a row of a table cannot be malformed
        return IcebergSource(self)


class IcebergSource(SnapshotSource):
    """Rows of a snapshot of a table.

    Args:
        config: Which one.

    Raises:
        ConfigError: `where` does not fit the table's partitions.
        DataError: There is no such table or snapshot, or its files cannot be read here.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        super().__init__(config.table or config.metadata or "")

    def opened(self, pin: Mapping[str, Any] | None) -> tuple[Source, dict[str, Any]]:
        """The files that the snapshot's manifests list."""
        with self._asked():
            table = self._table()
            snapshot = self._snapshot(table) if pin is None else int(pin["snapshot"])
            found = {"snapshot": snapshot, "uuid": str(table.metadata.table_uuid)}
            if pin is not None and pin["uuid"] != found["uuid"]:
                raise DataError("another table has taken its name", file=self.table)
            if table.snapshot_by_id(snapshot) is None:
                raise DataError(f"the snapshot {snapshot} is there no more: it has expired", file=self.table)
            scan = table.scan(snapshot_id=snapshot)
            tasks = sorted(scan.plan_files(), key=lambda task: task.file.file_path)
            return self._rows(table, scan.projection(), tasks), found

    def _rows(self, table: Any, schema: Any, tasks: list[Any]) -> Source:
        """The rows of the files that are wanted."""
        from pyiceberg.io.pyarrow import schema_to_pyarrow  # noqa: PLC0415 (an extra)

        fields = schema_to_pyarrow(schema)
        columns = {field.name: _narrowed(field.type) for field in fields}
        specs = {number: Spec(spec, schema) for number, spec in table.specs().items()}
        kinds = {name: kind for number in sorted(specs) for name, kind in specs[number].kinds.items()}
        check(self._config.where, kinds, self.table)
        files, values, kept, passed = [], {}, {}, []
        for task in tasks:
            data, spec = task.file, specs[task.file.spec_id]
            parts = spec.values(data.partition)
            if not self._is_wanted(parts, kinds, data.file_path):
                passed.append(",".join(f"{name}={value.as_py()}" for name, value in parts.items()))
                continue
            if data.file_format.name != "PARQUET":
                raise DataError(f"is a file of {data.file_format.name}; parquet can be read here", file=data.file_path)
            file = self._file(table, data)
            files.append(file)
            values[file.name] = {column: parts[name] for name, column in spec.columns.items()}
            if task.delete_files:
                kept[file.name] = self._kept(table, data, task.delete_files)
        if not files:
            raise none_wanted(passed, self.table) if passed else DataError("has no rows", file=self.table)
        rows = TableFiles(files, columns, kept=kept, stored=partial(_by_id, fields), threads=self._config.threads)
        constant = {name for file in values.values() for name in file}
        return PartitionedSource(rows, values, {name: columns[name] for name in columns if name in constant})

    def _is_wanted(self, parts: Mapping[str, pa.Scalar], kinds: Mapping[str, pa.DataType], file: str) -> bool:
        for name, wanted in self._config.where.items():
            if name not in parts:
                text = f"was written before the table had the partition '{name}', so that 'where' cannot tell whether it is wanted"
                raise DataError(text, file=file)
            if not holds(wanted, parts[name], kinds[name]):
                return False
        return True

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """What pyiceberg says of a failure is an error of ours, without secrets."""
        try:
            from pyiceberg import exceptions  # noqa: PLC0415 (an extra)
            from pyiceberg.catalog import CatalogType  # noqa: PLC0415
        except ImportError:
            raise MissingExtra("pyiceberg", "iceberg") from None
        known = [e for e in vars(exceptions).values() if isinstance(e, type) and issubclass(e, Exception)]
        try:
            from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 (which a catalogue in SQL brings)

            known.append(SQLAlchemyError)
        except ImportError:
            pass
        failures: tuple[type[Exception], ...] = (*known, OSError, ValueError, NotImplementedError)
        try:
            yield
        except failures as error:
            told = told_of(error, self._config.properties)
            if "URI missing" in told:
                told = f"the catalogue '{self._config.catalog}' is not known: give 'properties', such as {{type: rest, uri: ...}}"
            if "CatalogType" in told:
                told += "; known: " + ", ".join(kind.value for kind in CatalogType)
            raise DataError(told, file=self.table) from None

    def _table(self) -> Any:
        from pyiceberg.catalog import load_catalog  # noqa: PLC0415 (an extra)
        from pyiceberg.table import StaticTable  # noqa: PLC0415

        properties = plain(self._config.properties)
        if self._config.metadata is not None:
            return StaticTable.from_metadata(self._config.metadata, properties)
        # A catalogue in SQL would make its tables in a database that has none.
        catalog = load_catalog(self._config.catalog, **{"init_catalog_tables": "false", **properties})
        try:
            return catalog.load_table(self._config.table or "")
        finally:
            catalog.close()

    def _snapshot(self, table: Any) -> int:
        config = self._config
        if config.timestamp is not None:
            found = table.snapshot_as_of_timestamp(round(moment_of(config.timestamp).timestamp() * 1000))
            what = f"snapshot as of {config.timestamp}"
        elif config.ref is not None:
            found, what = table.snapshot_by_name(config.ref), f"branch or tag '{config.ref}'"
        elif config.snapshot is not None:
            found, what = table.snapshot_by_id(config.snapshot), f"snapshot {config.snapshot}"
        else:
            found, what = table.current_snapshot(), "snapshot: the table is empty"
        if found is None:
            raise DataError(f"there is no {what}", file=self.table)
        return int(found.snapshot_id)

    def _file(self, table: Any, data: Any) -> File:
        path = str(data.file_path)
        if path.startswith("file:") or "://" not in path:
            path = path.removeprefix("file://").removeprefix("file:")
            return File(path, path, LocalFileSystem(), int(data.file_size_in_bytes))
        return File(path, path, Objects(table.io), int(data.file_size_in_bytes))

    def _kept(self, table: Any, data: Any, deletes: Any) -> np.ndarray:
        """Which rows of a file are still the table's."""
        kept = np.ones(int(data.record_count), bool)
        for delete in deletes:
            if delete.content.name != "POSITION_DELETES" or delete.file_format.name != "PARQUET":
                text = "its deletes are not lists of positions in parquet, the ones that can be read here: compact the table first"
                raise DataError(text, file=self.table)
            with self._file(table, delete).open() as opened:
                rows = pq.read_table(opened, columns=["file_path", "pos"])
            mine = np.asarray(rows.column("file_path").to_numpy(zero_copy_only=False) == data.file_path, bool)
            kept[rows.column("pos").to_numpy()[mine]] = False
        return kept


class Objects:
    """The files of a table as pyiceberg reaches them, with the catalogue's properties.

    Args:
        io: pyiceberg's `FileIO`.
    """

    def __init__(self, io: Any) -> None:
        self._io = io

    def open(self, path: str, mode: str) -> BinaryIO:
        """The file's bytes."""
        assert mode == "rb"
        opened: BinaryIO = self._io.new_input(path).open()
        return opened


class Spec:
    """How a file's partition is told.

    Args:
        spec: pyiceberg's partition spec.
        schema: pyiceberg's schema of the snapshot.

    Attributes:
        kinds: Types by field.
        columns: The column that a field is, as it is, by field.
    """

    def __init__(self, spec: Any, schema: Any) -> None:
        from pyiceberg.io.pyarrow import schema_to_pyarrow  # noqa: PLC0415 (an extra)
        from pyiceberg.transforms import IdentityTransform  # noqa: PLC0415
        from pyiceberg.types import UnknownType  # noqa: PLC0415

        types = [field.field_type for field in spec.partition_type(schema).fields]
        # A field whose column was dropped has no type, and no use.
        self._fields = [
            (place, field.name, _narrowed(schema_to_pyarrow(kind)))
            for place, (field, kind) in enumerate(zip(spec.fields, types, strict=True))
            if not isinstance(kind, UnknownType)
        ]
        self.kinds = {name: kind for _, name, kind in self._fields}
        self.columns = {
            field.name: schema.find_column_name(field.source_id)
            for field in spec.fields
            if field.name in self.kinds and isinstance(field.transform, IdentityTransform)
        }

    def values(self, record: Any) -> dict[str, pa.Scalar]:
        """The values of a file's partition."""
        return {name: _scalar(record[place], kind) for place, name, kind in self._fields}


def _scalar(value: Any, kind: pa.DataType) -> pa.Scalar:
    """A value as manifests hold it: days and microseconds are numbers there."""
    if value is not None and pa.types.is_temporal(kind) and isinstance(value, int):
        return pa.scalar(value, pa.int32() if kind.bit_width == 32 else pa.int64()).cast(kind)
    return pa.scalar(value, kind)


def _narrowed(kind: pa.DataType) -> pa.DataType:
    """The type with offsets of 32 bits, as other sources have it, and without the numbers of its fields."""
    if pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_large_binary(kind):
        return pa.binary()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(_narrowed(kind.value_type))
    if pa.types.is_map(kind):
        return pa.map_(_narrowed(kind.key_type), _narrowed(kind.item_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _narrowed(field.type)) for field in kind])
    return kind


def _by_id(fields: pa.Schema, file: str, schema: pa.Schema) -> dict[str, str]:
    """What a file calls the columns that it has, by their numbers; a file of another writer has none, and their names.

    Raises:
        DataError: A field inside of a column was renamed since the file was written.
    """
    if not any(ID in (field.metadata or {}) for field in schema):
        return {name: name for name in fields.names if name in schema.names}
    stored = {field.metadata[ID]: field for field in schema if ID in (field.metadata or {})}
    found = {}
    for field in fields:
        there = stored.get(field.metadata[ID])
        if there is not None:
            found[field.name] = there.name
            if renamed := _renamed(there.type, field.type):
                text = f"its field '{renamed}' was renamed since this file was written: rewrite the table's files"
                raise DataError(text, column=field.name, file=file)
    return found


def _renamed(there: pa.DataType, here: pa.DataType) -> str:
    """A field inside of a type that is called otherwise than in the file."""
    if pa.types.is_struct(there) and pa.types.is_struct(here):
        names = {field.metadata[ID]: field for field in here if ID in (field.metadata or {})}
        for field in there:
            known = names.get((field.metadata or {}).get(ID))
            if known is not None and known.name != field.name:
                return str(known.name)
            if known is None and here.get_field_index(field.name) >= 0:  # dropped, and another one took its name
                return str(field.name)
            if known is not None and (inner := _renamed(field.type, known.type)):
                return inner
    if pa.types.is_map(there) and pa.types.is_map(here):
        return _renamed(there.item_type, here.item_type)
    lists = (
        pa.types.is_list(there) or pa.types.is_large_list(there),
        pa.types.is_list(here) or pa.types.is_large_list(here),
    )
    return _renamed(there.value_type, here.value_type) if all(lists) else ""
