"""`duckdb`: SQL that runs in this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from easyrec.errors import MissingExtra
from easyrec.store.duck import told
from easyrec.stream.dialects import Sql

TYPES = {"string": "VARCHAR", "int64": "BIGINT", "int32": "INTEGER", "timestamp": "TIMESTAMPTZ"}


class Dialect(Sql):
    """DuckDB's SQL."""

    name = "duckdb"

    def table(self, kind: str, path: str, columns: Mapping[str, str]) -> str:
        """See the contract."""
        place = self.text(str(Path(path, f"*.{kind}")) if Path(path).is_dir() else path)
        if kind == "parquet":
            return f"read_parquet({place}, union_by_name = true)"
        kinds = ", ".join(f"{self.quoted(name)}: {self.text(self.kind(text))}" for name, text in columns.items())
        return f"read_json({place}, format = 'newline_delimited', columns = {{{kinds}}})"

    def kind(self, text: str) -> str:
        """See the contract."""
        if text.startswith("array<"):
            return f"{self.kind(text[6:-1])}[]"
        if text.startswith("map<"):
            key, _, value = text[4:-1].partition(",")
            return f"MAP({self.kind(key)}, {self.kind(value.strip())})"
        return "FLOAT[]" if text.startswith("vector<") else TYPES.get(text, text.upper())

    def micros(self, timestamp: str) -> str:
        """See the contract."""
        return f"epoch_us({timestamp})"

    def timestamp(self, micros: str) -> str:
        """See the contract."""
        return f"CAST(make_timestamp({micros}) AT TIME ZONE 'UTC' AS TIMESTAMPTZ)"

    def floor(self, micros: str, width: int) -> str:
        """See the contract."""
        return f"({micros} - (({micros} % {width}) + {width}) % {width})"

    def struct(self, parts: Sequence[str]) -> str:
        """See the contract."""
        return f"row({', '.join(parts)})"

    def latest(self, value: str, order: Sequence[str], count: int, kind: str) -> str:
        """See the contract."""
        back = ", ".join(f"{one} DESC" for one in order)
        return f"list_reverse((array_agg({value} ORDER BY {back}) FILTER (WHERE {value} IS NOT NULL))[:{count}])"


def write(statement: str, output: str) -> int:
    """Run a SELECT, and write its rows into a parquet file, which is there whole or not at all. Gives how many they are.

    Raises:
        DataError: The events cannot be read.
        OutputError: The disk refuses.
        MissingExtra: duckdb is not installed.
    """
    try:
        import duckdb  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError:
        raise MissingExtra("duckdb", "store") from None
    place = Path(output)
    partial = place.with_name(f".{place.name}.writing")
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        with told("duckdb"), duckdb.connect() as db:
            db.execute("SET TimeZone = 'UTC'")
            target = Dialect().text(str(partial))
            made = db.execute(f"COPY ({statement}) TO {target} (FORMAT parquet, COMPRESSION zstd)").fetchone()
        partial.replace(place)
    finally:
        partial.unlink(missing_ok=True)
    return int(made[0]) if made else 0
