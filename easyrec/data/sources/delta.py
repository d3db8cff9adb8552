"""`delta`: a version of a Delta Lake table; a unit is a row group of one of its files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.fs as arrow_fs
from fsspec.implementations.arrow import ArrowFSWrapper
from fsspec.implementations.local import LocalFileSystem
from pydantic import ConfigDict, Field, model_validator
from typing_extensions import Self

from easyrec.data.sources import Policy, Source, SourceConfig
from easyrec.data.sources._files import File
from easyrec.data.sources._options import SecretOptions, plain, told_of
from easyrec.data.sources._partitions import PartitionedSource
from easyrec.data.sources._snapshots import Moment, SnapshotSource, moment_of
from easyrec.data.sources._table_files import TableFiles
from easyrec.data.sources._where import Wanted, check, is_wanted, none_wanted
from easyrec.errors import DataError, MissingExtra

FEATURES = {
    "timestampNtz",
    "deletionVectors",
    "v2Checkpoint",
    "vacuumProtocolCheck",
    "typeWidening",
    "typeWidening-preview",
}
"""What a table may ask of its readers; column mapping is looked for by itself, as old tables do not ask for it."""


class Config(SourceConfig):
    """Config of `delta`.

    Attributes:
        path: Folder of the table: local, or a URL of an object store such as `s3://bucket/table`.
        version: Version to read; without it the newest one.
        timestamp: Read the version that was the newest at this ISO moment, UTC where it names no zone.
        where: Which partitions are read: by partition a value, a list of them, `{from: , to: }`, or
            `{last: 7, until: 20260131}`.
        storage_options: Options of the object store, as deltalake takes them. Write secrets as `${NAME}`.
        threads: Whether columns are decoded by several threads (Arrow's pool).
    """

    model_config = ConfigDict(hide_input_in_errors=True)  # options may hold secrets

    type: Literal["delta"] = "delta"
    path: str = Field(min_length=1)
    version: int | None = Field(None, ge=0)
    timestamp: Moment | None = None
    where: dict[str, Wanted] = {}
    storage_options: SecretOptions = {}
    threads: bool = True

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.version is not None and self.timestamp is not None:
            raise ValueError("give 'version' or 'timestamp', not both")
        return self

    def open(self, bad_rows: Policy = "fail") -> Source:
        """The files of the version, with their footers read.

        Raises:
            MissingExtra: deltalake is not installed.
        """
        del bad_rows  # a row of a table cannot be malformed
        return DeltaSource(self)


class DeltaSource(SnapshotSource):
    """Rows of a version of a table.

    Args:
        config: Which one.

    Raises:
        ConfigError: `where` does not fit the table's partitions.
        DataError: There is no such table or version, it needs of its readers what is not known here, or its files are gone.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        super().__init__(config.path)

    def opened(self, pin: Mapping[str, Any] | None) -> tuple[Source, dict[str, Any]]:
        """The files that the log lists for the version."""
        wanted = self._config.version if pin is None else int(pin["version"])
        with self._asked("" if wanted is None else f"version {wanted} cannot be read: "):
            table = self._table(wanted)
            found = {"version": int(table.version()), "id": str(table.metadata().id)}
            if pin is not None and pin["id"] != found["id"]:
                raise DataError("another table has been written to its place", file=self.table)
            self._check_features(table)
            return self._rows(table), found

    @contextmanager
    def _asked(self, what: str) -> Iterator[None]:
        """What deltalake says of a failure is an error of ours, without secrets."""
        try:
            import deltalake  # noqa: F401, PLC0415 (an extra)
            from deltalake.exceptions import DeltaError  # noqa: PLC0415
        except ImportError:
            raise MissingExtra("deltalake", "delta") from None
        try:
            yield
        except (DeltaError, OSError, ValueError) as error:
            told = told_of(error, self._config.storage_options)
            if "No files in log segment" in told:
                told = "is no Delta table: it has no log (_delta_log)"
            raise DataError(what + told, file=self.table) from None

    def _table(self, version: int | None) -> Any:
        from deltalake import DeltaTable  # noqa: PLC0415 (an extra)

        config = self._config
        table = DeltaTable(config.path, version=version, storage_options=plain(config.storage_options) or None)
        if version is None and config.timestamp is not None:
            moment = moment_of(config.timestamp)
            began = min((entry["timestamp"] for entry in table.history() if "timestamp" in entry), default=0) / 1000
            if began > moment.timestamp():
                first = datetime.fromtimestamp(began, timezone.utc).isoformat(timespec="seconds")
                text = f"there is no version as of {config.timestamp}: the first one is of {first}"
                raise DataError(text, file=self.table)  # deltalake would give the first one
            table.load_as_version(moment)
        return table

    def _rows(self, table: Any) -> Source:
        """The rows of the files of wanted partitions."""
        schema = pa.schema(table.schema().to_arrow())
        kinds = {name: schema.field(name).type for name in table.metadata().partition_columns}
        check(self._config.where, kinds, self.table)
        files, values = self._files(table, kinds)
        columns = {field.name: field.type for field in schema if field.name not in kinds}
        kept = self._kept(table) if "deletionVectors" in (table.protocol().reader_features or ()) else {}
        try:
            rows = TableFiles(files, columns, kept=kept, threads=self._config.threads)
        except DataError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            text = f"belongs to version {table.version()} of the table, but is there no more: "
            raise DataError(text + "VACUUM removes files of old versions", file=error.file) from error
        return PartitionedSource(rows, values, kinds) if kinds else rows

    def _check_features(self, table: Any) -> None:
        wanted = set(table.protocol().reader_features or ()) - {"columnMapping"}  # which may be switched off
        if table.metadata().configuration.get("delta.columnMapping.mode", "none") != "none":
            wanted.add("columnMapping")
        if unknown := wanted - FEATURES:
            text = f"has {', '.join(sorted(unknown))}, which cannot be read here; write a copy without it"
            raise DataError(text, file=self.table)

    def _files(
        self, table: Any, kinds: Mapping[str, pa.DataType]
    ) -> tuple[list[File], dict[str, dict[str, pa.Scalar]]]:
        """The files of wanted partitions, and the values of each one's."""
        listed = pa.table(table.get_add_actions(flatten=True))
        shown = [f"partition.{name}" for name in kinds]
        columns = {
            name: listed.column(column).combine_chunks().cast(kind)
            for (name, kind), column in zip(kinds.items(), shown, strict=True)
        }
        # Partition by partition, in each as they were written, whatever the order in the log.
        ordered = listed.append_column("row", pa.array(np.arange(listed.num_rows))).sort_by(
            [(column, "ascending") for column in [*shown, "modification_time", "path"]]
        )
        paths, sizes = (
            [unquote(path) for path in ordered.column("path").to_pylist()],
            ordered.column("size_bytes").to_pylist(),
        )
        system, root = self._system(table, dict(zip(paths, sizes, strict=True)))
        files, values = [], {}
        for row, path, size in zip(ordered.column("row").to_pylist(), paths, sizes, strict=True):
            value = {name: column[row] for name, column in columns.items()}
            if is_wanted(self._config.where, value, kinds):
                file = File(self._named(path), root + path, system, size)
                files.append(file)
                values[file.name] = value
        if not files:
            if not listed.num_rows:
                raise DataError(f"has no rows in version {table.version()}", file=self.table)
            texts = zip(*(column.to_pylist() for column in columns.values()), strict=True)
            raise none_wanted(
                {",".join(f"{n}={v}" for n, v in zip(kinds, row, strict=True)) for row in texts}, self.table
            )
        return files, values

    def _system(self, table: Any, sizes: Mapping[str, int]) -> tuple[Any, str]:
        """The file system of the table's files, and their folder on it."""
        from deltalake.fs import DeltaStorageHandler  # noqa: PLC0415 (an extra)

        if "://" not in self.table or self.table.startswith("file://"):
            return LocalFileSystem(), str(Path(self.table.removeprefix("file://")).absolute()) + "/"
        # Without their sizes it would ask for them, and stop all threads while it waits.
        handler = DeltaStorageHandler(table.table_uri, plain(self._config.storage_options), dict(sizes))
        return ArrowFSWrapper(arrow_fs.PyFileSystem(handler)), ""

    def _kept(self, table: Any) -> dict[str, np.ndarray]:
        """Of files of which some rows were deleted: which are still there."""
        found = {}
        for batch in table.deletion_vectors():
            rows = pa.record_batch(batch)
            for uri, mask in zip(rows.column("filepath").to_pylist(), rows.column("selection_vector"), strict=True):
                if not uri.startswith(table.table_uri):
                    raise DataError("lies outside of the table's folder", file=uri)
                name = self._named(unquote(uri.removeprefix(table.table_uri).lstrip("/")))
                found[name] = mask.values.to_numpy(zero_copy_only=False)
        return found

    def _named(self, path: str) -> str:
        """What a file is called, by its path in the table's folder."""
        return f"{self.table.rstrip('/')}/{path}"
