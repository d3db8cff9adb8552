"""`Database`: statements of PostgreSQL and SQLite over ADBC, whose rows come as Arrow; the password is never shown."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import pyarrow as pa

from easyrec.errors import ConfigError, DataError, MissingExtra, Problem

SCHEMES = {"postgresql": "adbc_driver_postgresql", "postgres": "adbc_driver_postgresql", "sqlite": "adbc_driver_sqlite"}

HIDDEN = "***"


def quoted(name: str) -> str:
    """An identifier as SQL takes it, whatever it is called."""
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True)
class Column:
    """A column of a table or a query.

    Attributes:
        name: Its name.
        kind: Its type.
        expression: SQL that gives it in this type.
        cast: Whether its values are not the database's own: of several types, or of one that Arrow has not.
    """

    name: str
    kind: pa.DataType
    expression: str
    cast: bool = False


class Database:
    """One database.

    Args:
        uri: `postgresql://...` or `sqlite:///path`.

    Attributes:
        name: The URI without its password, for errors.
        everything: LIMIT of a statement that has an OFFSET alone.

    Raises:
        ValueError: The URI names neither kind, or where its password ends cannot be told; does not repeat it.
    """

    def __init__(self, uri: str) -> None:
        scheme, sign, rest = uri.partition("://")
        if not sign or scheme not in SCHEMES:
            raise ValueError("must start with postgresql:// or sqlite:///")
        self.driver = SCHEMES[scheme]
        self.sqlite = scheme == "sqlite"
        self._secrets: list[str] = []
        if self.sqlite:
            if not rest.startswith("/") or rest == "/":
                raise ValueError("must be sqlite:///path/of/file.db, or sqlite:////absolute/path/of/file.db")
            self._path = unquote(rest[1:])
            # Read-only, and a file that is not there is not made.
            self._uri = f"file:{quote(self._path)}?mode=ro"
            self.name, self.everything = self._path, "-1"
            return
        self._uri, self.everything = uri, "ALL"
        self.name = self._masked(uri)

    def _masked(self, uri: str) -> str:
        scheme, _, rest = uri.partition("://")
        ends = [rest.find(sign) for sign in "/?#" if sign in rest]
        authority = rest[: min(ends)] if ends else rest
        beyond = rest[len(authority) :]
        if "@" in beyond or authority.count("@") > 1 or "#" in rest:
            raise ValueError(
                "where the password ends cannot be told: write the signs @ / : ? # % in it as %40 %2F %3A %3F %23 %25"
            )
        login, at, host = authority.rpartition("@")
        user, colon, password = login.partition(":")
        if ":" in password:
            raise ValueError("the password holds a ':': write it as %3A")
        options = [part.partition("=") for part in urlsplit(f"x:/{beyond}").query.split("&") if part]
        hidden = [value for key, _, value in options if "password" in key.lower()] + [password]
        self._secrets = [text for value in hidden if value for text in (value, unquote(value))]
        path = beyond.partition("?")[0]
        return f"{scheme}://{user}{':' + HIDDEN if colon else ''}{at}{host}{path}"

    def hide(self, text: str) -> str:
        """The text without passwords."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
        return text

    def connect(self) -> Any:
        """A new connection.

        Raises:
            MissingExtra: The driver is not installed.
            DataError: There is no database, or it lets nobody in.
        """
        try:
            driver = importlib.import_module(f"{self.driver}.dbapi")
        except ImportError:
            raise MissingExtra(self.driver, "sql") from None
        if self.sqlite and not Path(self._path).is_file():
            raise DataError("there is no such file", file=self.name)
        try:
            return driver.connect(self._uri, autocommit=True)
        except driver.Error as error:  # the driver's own error would show the URI in a traceback
            raise DataError(f"cannot be opened: {self._told(error)}", file=self.name) from None

    def run(
        self, text: str, parameters: Sequence[pa.Scalar], where: str, *, batch_rows: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a statement.

        Args:
            text: The statement; `$1` is the first parameter.
            parameters: Values that are bound, not written into the text.
            where: What errors call the rows.
            batch_rows: Rows of which SQLite's driver looks at the types before it gives any.

        Raises:
            DataError: The database refuses the statement, or the connection ends.
        """
        options = {"adbc.sqlite.query.batch_rows": batch_rows} if self.sqlite and batch_rows else None
        with self.connect() as connection, connection.cursor(adbc_stmt_kwargs=options) as cursor:
            try:
                bound = pa.RecordBatch.from_arrays(
                    [pa.repeat(value, 1) for value in parameters],
                    [str(i) for i in range(len(parameters))],
                )
                cursor.execute(text, bound if parameters else None)
                with cursor.fetch_record_batch() as reader:
                    yield from reader
            except (type(connection).Error, pa.ArrowException, OSError) as error:
                raise DataError(f"cannot be read: {self._told(error)}", file=where) from None

    def columns(self, rows: str, where: str) -> list[Column]:
        """The columns of a table or of a query in brackets.

        SQLite gives no types of a query, and a column may hold several: a text among its values makes it one of texts,
        a fraction one of float64.

        Raises:
            ConfigError: Two columns have one name.
            DataError: The database refuses the query.
        """
        with self.connect() as connection, connection.cursor() as cursor:
            try:
                cursor.execute(f"SELECT * FROM {rows} AS q LIMIT 0")  # noqa: S608 (the query is the config's)
                schema = cursor.fetch_arrow_table().schema
            except (type(connection).Error, pa.ArrowException, OSError) as error:
                raise DataError(f"cannot be read: {self._told(error)}", file=where) from None
        twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
        if twice:
            raise ConfigError([Problem(f"the query gives two columns the name '{twice[0]}'", "query", file=where)])
        return self._of_sqlite(schema.names, rows, where) if self.sqlite else [_of_postgres(field) for field in schema]

    def _of_sqlite(self, names: list[str], rows: str, where: str) -> list[Column]:
        found = []
        codes = " ".join(f"WHEN '{name}' THEN {code}" for code, name in enumerate(("integer", "real", "text", "blob")))
        for start in range(0, len(names), 250):  # SQLite has a bound on columns
            part = names[start : start + 250]
            kinds = [f"CASE typeof({quoted(name)}) {codes} END" for name in part]  # NULL of a null
            listed = ", ".join(f"min({kind}), max({kind})" for kind in kinds)
            batches = self.run(f"SELECT {listed} FROM {rows} AS q", (), where)  # noqa: S608
            row = [value.as_py() for batch in batches for column in batch.columns for value in column]
            for name, least, most in zip(part, row[::2], row[1::2], strict=True):
                kind, cast = _SQLITE[2 if most is None else most]
                found.append(
                    Column(name, kind, f"CAST({quoted(name)} AS {cast})" if cast else quoted(name), least != most)
                )
        return found

    def _told(self, error: BaseException) -> str:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return self.hide("; ".join(lines[:3])).rstrip(".") or type(error).__name__


_SQLITE = (pa.int64(), ""), (pa.float64(), "REAL"), (pa.string(), "TEXT"), (pa.binary(), "BLOB")


def _of_postgres(field: pa.Field) -> Column:
    """A `numeric` as float64, another type that Arrow has not as its text."""
    name, kind = quoted(field.name), field.type
    listed = pa.types.is_list(kind)
    inner = kind.value_type if listed else kind
    if not isinstance(inner, pa.BaseExtensionType):
        return Column(field.name, kind, name)
    number = getattr(inner, "type_name", "") in ("numeric", "_numeric")
    inner, cast = (pa.float64(), "double precision") if number else (pa.string(), "text")
    return Column(field.name, pa.list_(inner) if listed else inner, f"CAST({name} AS {cast}{'[]' * listed})", cast=True)
