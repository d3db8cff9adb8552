"""`sql`: a query over other tables, run by duckdb where its rows are read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from easyrec.errors import ConfigError, DataError, StoreError
from easyrec.store.duck import quoted
from easyrec.store.offline import ALL, OfflineConfig, Wanted
from feature_generator.config import Choice, StrictModel


class Config(OfflineConfig):
    """Config of `sql`."""

    type: Literal["sql"] = "sql"
    query: str = Field(min_length=1)
    """One SELECT in duckdb's dialect over `tables`; it names no files."""
    tables: dict[str, Annotated[Any, Choice("easyrec.store.offline")]] = Field(min_length=1)
    """What the query may select from, by the names that it gives them."""

    @field_validator("tables", mode="after")
    @classmethod
    def _plain(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name, table in value.items():
            if not isinstance(table, StrictModel) or not name.isidentifier():
                raise ValueError(f"'{name}' must be a plain name of a table")
        return value

    def scan(self, db: Any, name: str, wanted: Wanted = ALL) -> None:
        """See the family's contract."""
        self._check(db)
        for called, table in self.tables.items():
            table.scan(db, called)
        try:
            db.execute(f"CREATE OR REPLACE TEMP VIEW {quoted(name)} AS {self.query}")
        except Exception as error:
            if not type(error).__module__.startswith(("duckdb", "_duckdb")):
                raise
            raise DataError(f"the query cannot be run: {str(error).splitlines()[0][:300]}") from None

    def frame(self, spark: Any, wanted: Wanted = ALL) -> Any:
        """See the family's contract."""
        raise StoreError("a query is in duckdb's dialect, which Spark does not read: build a view of it first")

    def _check(self, db: Any) -> None:
        """Refuse what is no SELECT, or reads anything but the tables."""
        told = json.loads(db.execute("SELECT json_serialize_sql(?)", [self.query]).fetchone()[0])
        if told.get("error"):
            raise ConfigError(
                f"the query must be one SELECT: {str(told.get('error_message', '')).splitlines()[0][:300]}"
            )
        if len(told["statements"]) != 1:
            raise ConfigError(f"the query must be one SELECT, but holds {len(told['statements'])}")
        parts = list(_parts(told["statements"][0]))
        named = {name.lower() for name in self.tables}
        named |= {entry["key"].lower() for part in parts for entry in part.get("cte_map", {}).get("map", ())}
        for part in parts:
            if part.get("type") == "TABLE_FUNCTION":
                function = part.get("function", {}).get("function_name", "a function")
                raise ConfigError(f"the query reads by {function}(): name what it reads under 'tables'")
            if part.get("type") == "BASE_TABLE" and (
                part.get("schema_name") or part.get("catalog_name") or part["table_name"].lower() not in named
            ):
                raise ConfigError(
                    f"the query reads '{part['table_name']}', which is not among its tables: {', '.join(self.tables)}"
                )


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    """All objects in a value of JSON."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _parts(inner)
