"""Engines: clusters whose workers do slices of work side by side, and try again what dies with one of them.

One file per engine, each with a `Config` whose `open` gives an `Engine`. An engine carries a `Task` to its workers; every
worker process opens it once and then writes one part after another, and only what became of a part comes back. What is
done to the rows is the task's business, who does it where the engine's.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, ClassVar, TypeAlias

import pyarrow as pa
import yaml
from pydantic import Field
from typing_extensions import Self

from easyrec.data.slices import Slice
from easyrec.data.sources import Source
from easyrec.errors import ConfigError
from feature_generator import libraries, plugins
from feature_generator.config import Choice, Document, StrictModel, validate

Progress: TypeAlias = Callable[[int], None]
"""Told how many slices are done."""


@dataclass(frozen=True)
class Made:
    """A part that was written.

    Attributes:
        rows: Its rows.
        report: What was read and what was wrong with it, as plain JSON.
    """

    rows: int
    report: Mapping[str, Any] = field(default_factory=dict)


class Maker(ABC):
    """A task on a worker, with all that it needs loaded.

    Attributes:
        slices: What the task is cut into; empty where the engine reads the rows itself.
        source: The rows that the slices are of; None where the engine reads them itself.
    """

    slices: Sequence[Slice] = ()
    source: Source | None = None

    @abstractmethod
    def make(self, rows: Source, path: Path) -> Made:
        """Write some of the rows into a new file.

        Raises:
            DataError: A row cannot be used.
        """


@dataclass(frozen=True)
class Setting:
    """What a worker finds itself in.

    Attributes:
        key: Of this run alone: a worker process that is used again must not take an older task for this one.
        folder: Where the parts go.
        home: The working folder, for paths that are relative to it.
        plugins: What is plugged in, as `feature_generator.config.plug` takes it.
        operators: Shared libraries with operators of custom features.
    """

    key: str
    folder: str
    home: str
    plugins: tuple[str, ...]
    operators: tuple[str, ...]

    @classmethod
    def here(cls, folder: Path) -> Self:
        """What this process has, for parts in a folder."""
        plugged = (*plugins.packages, *(str(file.path.absolute()) for file in plugins.files.values()))
        return cls(secrets.token_hex(8), str(folder.absolute()), str(Path.cwd()), plugged, tuple(libraries.paths))


@dataclass(frozen=True)
class Task(ABC):
    """What workers do, as plain data that travels.

    Attributes:
        setting: Where they do it.
        exact: Every row that is read is written.
        cut: Digest of the slices: a worker that sees other rows must not do its own. Empty where the engine reads them.
    """

    setting: Setting
    exact: bool
    cut: str

    @abstractmethod
    def open(self) -> Maker:
        """Load what the work needs, on the worker."""


@dataclass(frozen=True)
class Told:
    """What a worker tells of a slice.

    Attributes:
        number: Of the slice.
        worker: Who did it.
        rows: Rows of its part; None where there is none.
        report: As in `Made`.
        error: Why there is no part: the name of the error's class, and what it takes to raise it again.
    """

    number: int
    worker: str
    rows: int | None = None
    report: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Table(ABC):
    """A table of an engine's own catalogue.

    Attributes:
        name: What people call it.
        schema: Its columns.
        partitions: In how many pieces the engine reads it.
    """

    name: str
    schema: pa.Schema
    partitions: int


class Engine(ABC):
    """A cluster that is connected.

    Attributes:
        shown: What people call it, without secrets.
    """

    shown: str

    @abstractmethod
    def run(self, task: Task, numbers: Sequence[int], progress: Progress) -> Generator[Told]:
        """Let workers do slices; gives what became of each, in any order.

        A slice whose worker dies is given to another one. To leave the iteration early is to stop the work.

        Raises:
            EngineError: The engine gave up.
        """

    def table(self, name: str, where: str | None = None) -> Table:
        """A table of the engine's catalogue.

        Args:
            name: Of the table.
            where: Which rows; default: all.

        Raises:
            ConfigError: The engine has no tables; there is no such table.
        """
        del where
        text = f"{self.shown} keeps no tables, so it cannot read '{name}': take --engine spark, or files by --input"
        raise ConfigError(text)

    def run_table(self, task: Task, table: Table, columns: Sequence[str], progress: Progress) -> Generator[Told]:
        """Let workers do the rows of a table, a slice for each partition of it; as `run`.

        Args:
            task: What they do.
            table: What `table` gave.
            columns: Which columns are read.
            progress: Told how many partitions are done.
        """
        raise ConfigError(f"{self.shown} keeps no tables, so it cannot read '{table.name}'")

    def registrable(self, table: str) -> None:
        """Check that `register` will be possible, before the work begins.

        Raises:
            ConfigError: The engine has no tables, it would not keep this one, or there is such a table already.
        """
        raise ConfigError(f"{self.shown} keeps no tables, so it cannot make '{table}': take --engine spark")

    def register(self, table: str, folder: str) -> None:
        """Let a folder of parts be known as a table.

        Raises:
            EngineError: The catalogue refuses.
        """
        del folder
        self.registrable(table)

    def close(self) -> None:  # noqa: B027 (an engine that was there before us stays)
        """End what was started here."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class EngineConfig(StrictModel, ABC):
    """Config of an engine; a member's `Config` derives from it."""

    family: ClassVar[str | None] = "easyrec.data.engines"

    type: str
    address: str | None = Field(None, min_length=1)
    """Where the engine runs; without it on this machine."""
    workers: int | None = Field(None, ge=1)
    """Worker processes; default: as many as there are processors for."""
    cpus: int = Field(1, ge=1)
    """Processors that a worker takes for itself, of which it computes on one."""
    slice_rows: int = Field(131_072, ge=1)
    """About how many rows a slice has."""

    @abstractmethod
    def open(self) -> Engine:
        """The engine, started or reached.

        Raises:
            MissingExtra: A package is not installed.
            EngineError: It cannot be started or reached.
        """


class _Named(StrictModel):
    """An engine as a call names it."""

    engine: Annotated[Any, Choice("easyrec.data.engines")]


def engine_config(given: str | Mapping[str, Any] | EngineConfig) -> EngineConfig:
    """The config of an engine from its name or its content.

    Raises:
        ConfigError: There is no such engine, or a key is wrong.
    """
    if isinstance(given, EngineConfig):
        return given
    found = {"type": given} if isinstance(given, str) else dict(given)
    made: EngineConfig = validate(_Named, Document.of({"engine": found})).engine
    return made


def words_of_engine(words: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The keys of a config from `key=value` words; a key with dots is one of the engine's own, under `conf`."""
    found: dict[str, Any] = {}
    for name, text in words:
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"--engine {name}={text}: the value is not valid YAML") from error
        if "." in name:
            found.setdefault("conf", {})[name] = text
        else:
            found[name] = value
    return found
