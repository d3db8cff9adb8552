"""Hive partitions: folders such as `dt=20260101/hour=03` that are columns, and which of them are read."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ConfigDict, Field, field_validator, model_validator
from typing_extensions import Self

from easyrec.data.sources import Place, Source, SourceConfig, Unit
from easyrec.data.sources._files import File, file_system, list_files
from easyrec.data.sources._types import SCALARS
from easyrec.errors import DataError, nearest
from feature_generator.config import StrictModel
from feature_generator.origin import Origin

NULL = "__HIVE_DEFAULT_PARTITION__"
"""What Hive and Spark call a folder of rows whose value is null."""

TypeName: TypeAlias = Literal["string", "int32", "int64", "float32", "float64", "bool", "timestamp", "date"]


class Range(StrictModel):
    """Values from one to another, both included; either may be left out."""

    model_config = ConfigDict(populate_by_name=True)

    first: str | int | None = Field(None, alias="from")
    to: str | int | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.first is None and self.to is None:
            raise ValueError("give 'from', 'to' or both")
        return self

    @property
    def bounds(self) -> tuple[str | int | None, str | int | None]:
        """The first and the last value; None: there is no such bound."""
        return self.first, self.to


class Window(StrictModel):
    """The last days up to one, which is included; written as folders write days."""

    last: int = Field(gt=0)
    until: str | int

    @field_validator("until")
    @classmethod
    def _day(cls, value: str | int) -> str | int:
        _day_of(str(value))
        return value

    @property
    def bounds(self) -> tuple[str | int | None, str | int | None]:
        """The first and the last day."""
        day, form = _day_of(str(self.until))
        return (day - timedelta(days=self.last - 1)).strftime(form), str(self.until)


def _day_of(text: str) -> tuple[datetime, str]:
    for form in ("%Y%m%d", "%Y-%m-%d"):
        try:
            day = datetime.strptime(text, form)
        except ValueError:
            continue
        if day.strftime(form) == text:
            return day, form
    raise ValueError(f"'{text}' is no day such as 20260131 or 2026-01-31")


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
    where: dict[str, Range | Window | str | int | list[str | int]] = {}
    storage_options: dict[str, Any] = {}

    @model_validator(mode="after")
    def _filters_fit(self) -> Self:
        problems = []
        for name, wanted in self.where.items():
            if name not in self.partitions:
                known = ", ".join(self.partitions) or "none; name them: `partitions: {dt: string}`"
                problems.append(f"there is no partition '{name}'{nearest(name, self.partitions)}\nknown: {known}")
                continue
            values = wanted.bounds if isinstance(wanted, Range | Window) else _listed(wanted)
            kind = self.partitions[name]
            strange = [value for value in values if value is not None and _typed(str(value), kind) is None]
            problems += [f"'{name}': '{value}' is no {kind}" for value in strange]
        if problems:
            raise ValueError("\n".join(problems))
        return self

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
            there = f"; there are {passed[0]} to {passed[-1]}" if passed else ""
            raise DataError(f"no partition is as 'where' wants it{there}", file=str(self.path))
        return kept

    def opened(self, source: Source, files: Sequence[File]) -> Source:
        """The source of these files, with the partitions as columns."""
        return PartitionedSource(source, files, self.partitions) if self.partitions else source

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
        value = None if text == NULL else _typed(text, self.partitions[name])
        if value is None and text != NULL:
            raise DataError(f"'{text}' is no {self.partitions[name]}", column=name, file=f"{where}, folder {folder}")
        if name not in self.where or self._holds(name, value):
            return True
        passed.append(folder)
        passed.sort()
        return False

    def _holds(self, name: str, value: pa.Scalar | None) -> bool:
        wanted, kind = self.where[name], self.partitions[name]
        if value is None:
            return False
        if isinstance(wanted, Range | Window):
            low, high = (None if bound is None else _typed(str(bound), kind) for bound in wanted.bounds)
            return (low is None or low.as_py() <= value.as_py()) and (high is None or value.as_py() <= high.as_py())
        return any(value.equals(_typed(str(item), kind)) for item in _listed(wanted))

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


def _listed(wanted: str | int | list[str | int]) -> list[str | int]:
    return wanted if isinstance(wanted, list) else [wanted]


def _typed(text: str, kind: TypeName) -> pa.Scalar | None:
    """The value that a text stands for; None where it is none of this type."""
    try:
        return pc.cast(pa.scalar(text), SCALARS[kind])
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


class PartitionedSource(Source):
    """Rows of files, with columns that the files' folders tell.

    Args:
        source: The files; a column that they have beside their folder gives way to it.
        files: They, with the values of their partitions.
        kinds: Types by partition.
    """

    def __init__(self, source: Source, files: Sequence[File], kinds: Mapping[str, TypeName]) -> None:
        self.source, self.files = source, list(files)
        self._kinds = {name: SCALARS[kind] for name, kind in kinds.items()}
        self.columns = {**source.columns, **self._kinds}
        self._constants = {
            file.name: {
                name: pa.scalar(None, kind) if file.partitions[name] == NULL else pc.cast(file.partitions[name], kind)
                for name, kind in self._kinds.items()
            }
            for file in files
        }

    def units(self) -> list[Unit]:
        """As of the files."""
        return self.source.units()

    def read(self, unit: Unit, columns: Sequence[str], start_row: int = 0) -> Iterator[pa.RecordBatch]:
        """The unit's rows; the partitions are not read from anywhere."""
        constants = self._constants[unit.file]
        wanted = [name for name in columns if name not in constants]
        read = wanted or list(self.source.columns)[:1]  # something tells how many rows there are
        for batch in self.source.read(unit, read, start_row):
            for name, value in constants.items():
                if name in columns:
                    batch = batch.append_column(name, pa.repeat(value, batch.num_rows))  # noqa: PLW2901 (grows)
            yield batch.select(list(columns))

    def require(self, columns: Sequence[str], why: str = "") -> None:
        """Check that all files have the columns that are no partitions."""
        super().require(columns, why)  # which knows the partitions where it names columns
        self.source.require([name for name in columns if name not in self._kinds], why)

    def locate(self, unit: Unit, row: int) -> Place:
        """As of the files."""
        return self.source.locate(unit, row)

    def bounds(self, unit: Unit, column: str) -> tuple[pa.Scalar, pa.Scalar] | None:
        """Of a partition, its value."""
        value = self._constants[unit.file].get(column)
        if value is None:
            return self.source.bounds(unit, column)
        return (value, value) if value.is_valid else None

    def dropped(self, unit: Unit) -> Mapping[str, int]:
        """As of the files."""
        return self.source.dropped(unit)

    def origins(self) -> Iterator[tuple[str, Origin]]:
        """As of the files."""
        return self.source.origins()

    def close(self) -> None:
        """Close the files."""
        self.source.close()
