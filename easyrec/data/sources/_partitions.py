"""Hive partitions: folders such as `dt=20260101/hour=03` that are columns, and which of them are read."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeAlias
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator
from typing_extensions import Self

from easyrec.data.sources import Source, SourceConfig, Unit
from easyrec.data.sources._files import File, file_system, list_files
from easyrec.data.sources._types import SCALARS
from easyrec.data.sources._where import Wanted, holds, misfits, none_wanted, typed
from easyrec.data.sources._wrapped import WrappedSource
from easyrec.errors import DataError, nearest

NULL = "__HIVE_DEFAULT_PARTITION__"
"""What Hive and Spark call a folder of rows whose value is null."""

TypeName: TypeAlias = Literal["string", "int32", "int64", "float32", "float64", "bool", "timestamp", "date"]


class PartitionedConfig(SourceConfig, ABC):
    """Config of files that may lie in folders of partitions.

    Attributes:
        path: File, folder, glob or a list of them.
        partitions: Types by column of folders such as `dt=20260101`; without it such folders are mere folders.
        where: Which partitions are read: a value, a list of them, `{from: , to: }`, or `{last: 7, until: 20260131}`.
        storage_options: Options of the file system, as fsspec takes them.
    """

    path: str | list[str] = Field(min_length=1)
    partitions: dict[str, TypeName] = {}
    where: dict[str, Wanted] = {}
    storage_options: dict[str, Any] = {}

    @model_validator(mode="after")
    def _filters_fit(self) -> Self:
        problems = misfits(self.where, self.kinds, "none; name them: `partitions: {dt: string}`")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def kinds(self) -> dict[str, pa.DataType]:
        """Types by partition."""
        return {name: SCALARS[kind] for name, kind in self.partitions.items()}

    def of(self, paths: str | list[str]) -> Self:
        """The same options for other files, all of them: with partitions where the files lie in folders of such."""
        first = paths if isinstance(paths, str) else paths[0]
        partitions = self.partitions if self._in_folders(first) else {}
        return self.model_copy(update={"path": paths, "where": {}, "partitions": partitions})

    def _in_folders(self, path: str) -> bool:
        """Whether partitions are told on the way to a path, or right below it."""
        try:
            system, root = file_system(path, self.storage_options)
            below = system.ls(root, detail=False) if self.partitions and system.isdir(root) else []
        except (ImportError, OSError, ValueError, RuntimeError):
            return True  # opening it tells what is wrong
        steps = [*root.split("/"), *(name.rstrip("/").rsplit("/", 1)[-1] for name in below)]
        return any(step.partition("=")[0] in self.partitions for step in steps if "=" in step)

    def files(self, suffixes: Sequence[str]) -> list[File]:
        """The files of all partitions that are wanted, in the order of their names.

        Folders of other partitions are not even listed, where `path` is a folder.

        Raises:
            DataError: There is no such file, or no such partition; a folder's value is not of its type.
        """
        if not self.partitions:
            return list_files(self.path, suffixes, self.storage_options)
        found: list[File] = []
        passed: list[str] = []
        for path in [self.path] if isinstance(self.path, str) else self.path:
            for folder in self._folders(path, passed):
                found += list_files(folder, suffixes, self.storage_options, missing_ok=folder != path)
        kept = [
            replace(file, partitions=values) for file in found if (values := self._values(file, passed)) is not None
        ]
        if not kept:
            raise none_wanted(passed, str(self.path))
        return kept

    def opened(self, source: Source, files: Sequence[File]) -> Source:
        """The source of these files, with the partitions as columns."""
        if not self.partitions:
            return source
        values = {
            file.name: {
                name: pa.scalar(None, kind) if file.partitions[name] == NULL else pc.cast(file.partitions[name], kind)
                for name, kind in self.kinds.items()
            }
            for file in files
        }
        return PartitionedSource(source, values, self.kinds)

    def _folders(self, path: str, passed: list[str]) -> list[str]:
        """The folders of wanted partitions, as far as they can be told apart; `path` itself where it is no folder of any."""
        try:
            system, root = file_system(path, self.storage_options)
            if any(sign in path for sign in "*?[") or not system.isdir(root):
                return [path]
            folders, wanted = [root], []
            while folders:
                deeper = []
                for folder in folders:
                    inner = sorted(
                        e["name"].rstrip("/") for e in system.ls(folder, detail=True) if e["type"] == "directory"
                    )
                    named = [name for name in inner if "=" in name.rsplit("/", 1)[-1]]
                    if not named:
                        wanted.append(folder)
                    deeper += [name for name in named if self._is_wanted(name.rsplit("/", 1)[-1], path, passed)]
                folders = deeper
        except (ImportError, OSError, ValueError, RuntimeError) as error:
            raise DataError(f"cannot be listed: {error}", file=path) from None
        start = len(root.rstrip("/"))
        return [path.rstrip("/") + folder[start:] for folder in sorted(wanted)]

    def _is_wanted(self, folder: str, where: str, passed: list[str]) -> bool:
        name, _, text = folder.partition("=")
        if name not in self.partitions:
            raise DataError(
                f"has folders of the partition '{name}'{nearest(name, self.partitions)}, which 'partitions' does not name",
                file=where,
            )
        text = unquote(text)
        value = None if text == NULL else typed(text, self.kinds[name])
        if value is None and text != NULL:
            raise DataError(f"'{text}' is no {self.partitions[name]}", column=name, file=f"{where}, folder {folder}")
        if name not in self.where or holds(self.where[name], value, self.kinds[name]):
            return True
        passed.append(folder)
        passed.sort()
        return False

    def _values(self, file: File, passed: list[str]) -> dict[str, str] | None:
        """The texts of a file's partitions; None where it is not wanted.

        Raises:
            DataError: It lies in no folder of some partition.
        """
        folders = [part for part in file.path.split("/")[:-1] if part.partition("=")[0] in self.partitions]
        if not all(self._is_wanted(folder, file.name, passed) for folder in folders):
            return None
        values = {part.partition("=")[0]: unquote(part.partition("=")[2]) for part in folders}
        for name in self.partitions:
            if name not in values:
                raise DataError(f"lies in no folder '{name}=...', but 'partitions' names it", file=file.name)
        return values


class PartitionedSource(WrappedSource):
    """Rows of files, with columns that are the same in a whole file.

    Args:
        source: The files; a column that they have beside their partition gives way to it.
        values: Of each file, by the name that units have: the values of its partitions.
        kinds: Types by partition.
    """

    def __init__(
        self, source: Source, values: Mapping[str, Mapping[str, pa.Scalar]], kinds: Mapping[str, pa.DataType]
    ) -> None:
        super().__init__(source)
        self._kinds, self._values = kinds, values
        self.columns = {**source.columns, **kinds}

    def read(self, unit: Unit, columns: Sequence[str], start_row: int = 0) -> Iterator[pa.RecordBatch]:
        """The unit's rows; the partitions are not read from anywhere."""
        values = self._values[unit.file]
        wanted = [name for name in columns if name not in values]
        read = wanted or [name for name in self.source.columns if name not in values][:1]  # which tells how many rows
        for batch in self.source.read(unit, read, start_row):
            for name, value in values.items():
                if name in columns:
                    batch = batch.append_column(name, pa.repeat(value, batch.num_rows))  # noqa: PLW2901 (grows)
            yield batch.select(list(columns))

    def require(self, columns: Sequence[str], why: str = "") -> None:
        """Check that all files have the columns that are no partitions."""
        Source.require(self, columns, why)  # which knows the partitions where it names columns
        self.source.require([name for name in columns if name not in self._kinds], why)

    def bounds(self, unit: Unit, column: str) -> tuple[pa.Scalar, pa.Scalar] | None:
        """Of a partition, its value."""
        value = self._values[unit.file].get(column)
        if value is None:
            return self.source.bounds(unit, column)
        return (value, value) if value.is_valid else None
