"""Sources of rows: one file per kind, each with a `Config` whose `open` gives a `Source`.

A source is a list of units that are read whole (a row group, a byte range of a text file, a day of a synthetic
data set). Units are what is shuffled, divided among workers and returned to after an interruption, so a source
promises: the same units in the same order at every opening, and the same rows in the same order at every reading.
A source whose rows grow or change between openings (a topic, a table of versions) keeps the promise by what it is
pinned to: a checkpoint holds it, and a later opening is given it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

import pyarrow as pa

from feature_generator.config import StrictModel
from feature_generator.errors import ConfigError, Problem, nearest
from feature_generator.origin import Origin

Policy: TypeAlias = Literal["fail", "skip", "default"]
"""What becomes of a row that breaks the rules: an error, nothing, or the row with defaults in its bad places."""


@dataclass(frozen=True)
class Unit:
    """A part of a source that is read from its start.

    Attributes:
        index: Position in `Source.units()`.
        rows: Number of rows, None where only reading tells.
        description: What people call it, e.g. `part-0.parquet, row group 3`.
        file: File that holds the rows, as errors name it; empty where there is none.
        first_row: 0-based row inside `file` of the unit's first row.
    """

    index: int
    rows: int | None
    description: str
    file: str = ""
    first_row: int = 0


@dataclass(frozen=True)
class Place:
    """Where a row is found: arguments of a `DataError`.

    Attributes:
        file: File, or description of the unit where there is no file.
        row: 0-based row inside it.
        line: 1-based line, for text files, where it says more than the row.
    """

    file: str
    row: int | None
    line: int | None = None


class Source(ABC):
    """Rows that can be read unit by unit.

    Attributes:
        columns: Type of every column, by name.
        endless: Whether more units may follow those of `units()`; `unit` waits for them.
    """

    columns: dict[str, pa.DataType]
    endless: bool = False

    @abstractmethod
    def units(self) -> list[Unit]:
        """All units, `unit.index` ascending from 0."""

    @abstractmethod
    def read(self, unit: Unit, columns: Sequence[str], start_row: int = 0) -> Iterator[pa.RecordBatch]:
        """The unit's rows from `start_row` (counted inside the unit) on, in batches of any size.

        Args:
            unit: One of `units()`.
            columns: Names to read; batches hold exactly these, in this order.
            start_row: Rows of the unit to leave out.

        Raises:
            DataError: The rows cannot be read; names the file, and the row or line where it is known.
        """

    def require(self, columns: Sequence[str], why: str = "") -> None:
        """Check that `columns` can be read.

        Raises:
            ConfigError: A column is absent; names all absent ones and the nearest known ones.
        """
        wanted = list(dict.fromkeys(columns))
        missing = [name for name in wanted if name not in self.columns]
        if len(missing) == len(wanted) > 2 and not any(nearest(name, self.columns) for name in missing):
            hint = "\nit has one column alone: is the type of the source right, and the separator?" * (
                len(self.columns) == 1
            )
            text = f"the data has none of the columns {', '.join(missing)}\n{self._known()}{hint}"
            raise ConfigError([Problem(text, why)])
        if missing:
            raise ConfigError([Problem(f"the data has no column {self.hint(name)}", why) for name in missing])

    def hint(self, name: str) -> str:
        """The name of a column that there is not, the nearest one that there is, and all of them."""
        return f"'{name}'{nearest(name, self.columns)}\n{self._known()}"

    def _known(self) -> str:
        listed = list(self.columns)
        return f"known: {', '.join(listed[:20])}" + (f" and {len(listed) - 20} more" if len(listed) > 20 else "")

    def locate(self, unit: Unit, row: int) -> Place:
        """Where the row `row` of the unit is found."""
        return Place(unit.file or unit.description, unit.first_row + row)

    def bounds(self, unit: Unit, column: str) -> tuple[pa.Scalar, pa.Scalar] | None:
        """Bounds that no value of the column in the unit lies outside, where they are known without reading it."""
        del unit, column
        return None

    def dropped(self, unit: Unit) -> Mapping[str, int]:
        """Rows of the unit that were malformed and left out or mended: how many, by reason; known after reading."""
        del unit
        return {}

    def origins(self) -> Iterator[tuple[str, Origin]]:
        """(file, origin) of the files that hold encoded columns of ours and say whose."""
        yield from ()

    def pinned(self, first: int = 0) -> dict[str, Any] | None:
        """What a later opening is given so that it has these units: plain JSON; None where every opening has them.

        Args:
            first: Of an endless source, units before this one are not asked for again.
        """
        del first
        return None

    def pin(self, state: Mapping[str, Any]) -> None:
        """Have the units that another opening of this source had.

        Args:
            state: What its `pinned` gave.

        Raises:
            DataError: They are of other rows, or are there no longer.
        """
        raise NotImplementedError  # of a source that gives no state there is none to return to

    def unit(self, index: int) -> Unit | None:
        """Of an endless source: a unit, once it is there; None where nobody waits for it any more."""
        units = self.units()
        return units[index] if index < len(units) else None

    def share(self, shard: tuple[int, int]) -> Source:
        """Of an endless source: what worker i of n reads, as a source of its own; i from 0.

        Raises:
            ConfigError: It cannot be shared by so many.
        """
        del shard
        return self

    def identity(self) -> str | None:
        """What tells these rows from others, where neither files nor the rows themselves have to."""
        return None

    @property
    def num_rows(self) -> int | None:
        """Rows of all units together, None where only reading tells."""
        total = 0
        for unit in self.units():
            if unit.rows is None:
                return None
            total += unit.rows
        return total

    def close(self) -> None:  # noqa: B027 (most sources hold nothing open)
        """Close what is open; the source may be read again afterwards."""


class SourceConfig(StrictModel, ABC):
    """Config of a source; a member's `Config` derives from it."""

    family: ClassVar[str | None] = "easyrec.data.sources"

    type: str

    def unlike(self, other: object) -> str:
        """Why a model of these rows says little of those of another source; empty where nothing speaks against it."""
        del other
        return ""

    @abstractmethod
    def open(self, bad_rows: Policy = "fail") -> Source:
        """The source, with its columns and units known.

        Args:
            bad_rows: What to do with rows that cannot be parsed.

        Raises:
            DataError: There is nothing to read, or what is there is damaged; names the file.
        """
