"""`sql`: a SELECT over named tables, run by duckdb; it reads these and nothing else."""

# ruff: noqa: S608 (the query is looked at before it is run)

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from easyrec.errors import ConfigError, Problem, nearest
from easyrec.store.transforms import Input, Rows, Target, TransformConfig

TABLES = {"range", "generate_series", "unnest", "repeat"}
"""Functions that give rows and read nothing."""
REFUSED = {"current_setting", "getenv", "getvariable", "which_secret", "write_log", "nextval", "currval"}
"""Functions that give values and tell, or change, what is not in the tables."""


class Config(TransformConfig):
    """Config of `sql`."""

    type: Literal["sql"] = "sql"
    query: str = Field(min_length=1)
    """One SELECT; its columns are the ids, the times and the fields of the view, by their names."""
    inputs: dict[str, Input] = Field(min_length=1)
    """The tables that it reads, by the names that it knows them by."""
    allow: list[str] = []
    """More functions that may stand in FROM, such as `read_csv`; they see files and the network."""

    @property
    def reads(self) -> Mapping[str, Any]:
        """See the family's contract."""
        return self.inputs

    def select(self, db: Any, rows: Mapping[str, Rows], target: Target) -> str:
        """See the family's contract."""
        del rows, target
        (told,) = db.execute("SELECT json_serialize_sql(?)", [self.query]).fetchall()[0]
        parsed = json.loads(told)
        if parsed["error"]:
            raise self._problem(f"is no SELECT that duckdb takes: {parsed['error_message']}")
        if len(parsed["statements"]) != 1:
            raise self._problem("must be one statement")
        for fault in self._faults(parsed["statements"][0]):
            raise self._problem(fault)
        return f"SELECT * FROM (\n{self.query.strip().rstrip(';')}\n)"

    def _faults(self, statement: Any) -> Iterator[str]:
        nodes = list(_nodes(statement))
        named = {entry["key"] for node in nodes for entry in (node.get("cte_map") or {}).get("map", ())}
        for node in nodes:
            kind = node.get("type")
            if kind == "BASE_TABLE":
                name = str(node["table_name"])
                if node.get("schema_name") or node.get("catalog_name") or name not in {*self.inputs, *named}:
                    yield f"reads '{name}'{nearest(name, self.inputs)}, but its inputs are: {', '.join(self.inputs)}"
            elif kind == "TABLE_FUNCTION":
                name = str(node["function"].get("function_name", "")).lower()
                if name not in TABLES and name not in self.allow:
                    yield f"calls {name}(), which may read files: list it under 'allow' if that is meant"
            elif kind == "FUNCTION" and str(node.get("function_name", "")).lower() in REFUSED:
                yield f"calls {node['function_name']}(), which tells of more than its inputs"
            elif kind == "SHOW_REF":
                yield "describes tables, but must select rows"

    def _problem(self, text: str) -> ConfigError:
        return ConfigError([Problem(text, "transform . query")])


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """All mappings inside a parsed statement."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _nodes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _nodes(inner)
