"""`sql`: rows of a table or a query of PostgreSQL or SQLite; a unit is a range of values of a unique column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import pyarrow as pa
from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator
from typing_extensions import Self

from easyrec.data.sources import Place, Policy, Source, SourceConfig, Unit
from easyrec.data.sources._database import Database, quoted
from easyrec.errors import ConfigError, DataError, Problem


class Config(SourceConfig):
    """Config of `sql`.

    Attributes:
        uri: `postgresql://user:password@host:port/database` or `sqlite:///path/of/file.db`. Write `${DB_URI}`, an
            environment variable: what stands here is kept with every run.
        table: Table or view, `schema.name` for one of another schema.
        query: SELECT in the place of a table.
        order_by: Column whose values are unique and not null; rows come in its order. An index makes reading fast.
        unit_rows: Rows that are read at once, and that are shuffled and shared out together.
    """

    model_config = ConfigDict(hide_input_in_errors=True)  # it may hold a password

    type: Literal["sql"] = "sql"
    uri: SecretStr = Field(min_length=1)
    table: str | None = Field(None, min_length=1)
    query: str | None = Field(None, min_length=1)
    order_by: str = Field(min_length=1)
    unit_rows: int = Field(100_000, gt=0)

    @field_validator("uri")
    @classmethod
    def _known(cls, value: SecretStr) -> SecretStr:
        Database(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.table is None) == (self.query is None):
            raise ValueError("give either 'table' or 'query'")
        return self

    def open(self, bad_rows: Policy = "fail") -> SqlSource:
        """The rows, counted and divided into units.

        Raises:
            MissingExtra: The driver of the database is not installed.
        """
        del bad_rows  # a row of a table cannot be malformed
        return SqlSource(self)


class SqlSource(Source):
    """Rows of a table or query.

    Every reading is a statement of its own over a connection of its own: nothing is locked, and threads may read at
    the same time. The bounds of the units are found at opening.

    Args:
        config: Where the rows are.

    Raises:
        ConfigError: `order_by` is no column, holds nulls or a value twice, or is of a type that cannot be compared.
        DataError: The database cannot be reached, or refuses the query.
    """

    def __init__(self, config: Config) -> None:
        self.database = Database(config.uri.get_secret_value())
        self._key, self._unit_rows = config.order_by, config.unit_rows
        if config.table is not None:
            self._rows = ".".join(quoted(part) for part in config.table.split("."))
        else:  # the line break ends a comment at the query's end
            self._rows = f"({(config.query or '').strip().rstrip(';')}\n)"
        self.name = f"{self.database.name}, {config.table or 'query'}"
        columns = {column.name: column for column in self.database.columns(self._rows, self.name)}
        self.columns = {name: column.kind for name, column in columns.items()}
        self._selected = {name: column.expression for name, column in columns.items()}
        if self._key not in self.columns:
            raise self._refused(f"there is no column {self.hint(self._key)}")
        kind, tests = self.columns[self._key], (pa.types.is_integer, pa.types.is_string, pa.types.is_date)
        if columns[self._key].cast or not (pa.types.is_timestamp(kind) or any(test(kind) for test in tests)):
            told = "holds several types, or one that is read as its text" if columns[self._key].cast else f"is {kind}"
            wanted = "must be a column of whole numbers, texts, dates or timestamps"
            raise self._refused(f"{wanted}, but '{self._key}' {told}; a query may cast it")
        self._units: list[Unit] = []
        self._bounds: list[tuple[pa.Scalar, pa.Scalar]] = []
        self._divide()

    def units(self) -> list[Unit]:
        """Ranges of values of `order_by`."""
        return self._units

    def read(self, unit: Unit, columns: Sequence[str], start_row: int = 0) -> Iterator[pa.RecordBatch]:
        """The rows of the range, in the order of `order_by`; the database leaves the first ones out."""
        kinds = {name: self.columns[name] for name in columns}
        first, last = self._bounds[unit.index]
        # The counting column tells of rows even where no column is asked for.
        listed = ", ".join([*(self._selected[name] for name in columns), "1"])
        key = quoted(self._key)
        text = f"SELECT {listed} FROM {self._rows} AS q WHERE {key} >= $1 AND {key} <= $2 ORDER BY {key}"  # noqa: S608
        parameters = [first, last]
        if start_row:
            text += f" LIMIT {self.database.everything} OFFSET $3"
            parameters.append(pa.scalar(start_row, pa.int64()))
        rows = start_row
        for batch in self.database.run(text, parameters, unit.file, batch_rows=self._unit_rows):
            rows += batch.num_rows
            yield self._typed(batch, kinds, unit)
        if rows != max(unit.rows or 0, start_row):
            raise DataError(
                f"has {rows} rows, but had {unit.rows} when it was opened: its rows were changed in between. A position "
                "in them means nothing any more; read a snapshot, or rows that do not change",
                file=unit.description,
            )

    def locate(self, unit: Unit, row: int) -> Place:
        """The value of `order_by` in a row, and the row's number in that order."""
        try:
            for batch in self.read(unit, [self._key], row):
                return Place(f"{unit.file}, {self._key} = {batch.column(0)[0].as_py()!r}", unit.first_row + row)
        except DataError:  # the database is gone; the row's number is known all the same
            pass
        return super().locate(unit, row)

    def bounds(self, unit: Unit, column: str) -> tuple[pa.Scalar, pa.Scalar] | None:
        """The first and last value of `order_by`; not of texts, which databases order otherwise than we do."""
        return None if column != self._key or pa.types.is_string(self.columns[column]) else self._bounds[unit.index]

    def _typed(self, batch: pa.RecordBatch, kinds: dict[str, pa.DataType], unit: Unit) -> pa.RecordBatch:
        arrays = []
        for position, (name, kind) in enumerate(kinds.items()):
            array = batch.column(position)
            try:
                arrays.append(array if array.type == kind else array.cast(kind))
                if pa.types.is_string(kind) or pa.types.is_nested(kind):
                    arrays[-1].validate(full=True)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                reason = f"is {array.type}, but was {kind} when it was opened" if array.type != kind else str(error)
                raise DataError(reason, column=name, file=unit.description) from None
        if not arrays:
            return pa.RecordBatch.from_struct_array(pa.array([{}] * batch.num_rows, pa.struct([])))
        return pa.RecordBatch.from_arrays(arrays, list(kinds))

    def _divide(self) -> None:
        """Find the first and the last value of each unit, in one pass over the column."""
        text = (
            f"SELECT k, n, CASE WHEN k = following THEN 1 ELSE 0 END AS twice FROM (SELECT {self._selected[self._key]} AS k, "  # noqa: S608
            f"row_number() OVER (ORDER BY {quoted(self._key)}) AS n, "
            f"lead({quoted(self._key)}) OVER (ORDER BY {quoted(self._key)}) AS following FROM {self._rows} AS q) AS p "
            "WHERE (n - 1) % $1 = 0 OR n % $1 = 0 OR following IS NULL OR k IS NULL OR k = following ORDER BY n"
        )
        size = pa.scalar(self._unit_rows, pa.int64())
        edges: list[tuple[pa.Scalar, int]] = []
        for batch in self.database.run(text, [size], self.name):
            keys = batch.column(0).cast(self.columns[self._key])
            for value, number, twice in zip(keys, batch.column(1), batch.column(2), strict=True):
                if not value.is_valid:
                    raise self._refused(f"'{self._key}' is null in some rows, which have no place in its order then")
                if twice.as_py():
                    raise self._refused(f"'{self._key}' is {value.as_py()!r} in two rows, but must be unique")
                edges.append((value, int(number.as_py())))
        if not edges:
            raise DataError("has no rows", file=self.name)
        total = edges[-1][1]
        found = {number: value for value, number in edges}
        for start in range(1, total + 1, self._unit_rows):
            stop = min(start + self._unit_rows - 1, total)
            first, last = found[start], found[stop]
            text = f"{self.name}, {self._key} from {first.as_py()!r} to {last.as_py()!r}"
            self._units.append(Unit(len(self._units), stop - start + 1, text, self.name, start - 1))
            self._bounds.append((first, last))

    def _refused(self, text: str) -> ConfigError:
        return ConfigError([Problem(text, "order_by", file=self.name)])
