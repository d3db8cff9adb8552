"""`flink`: Flink SQL; files are declared in front of the statement, which runs in batch mode too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from easyrec.errors import ConfigError
from easyrec.stream.dialects import Sql

TYPES = {"string": "STRING", "int64": "BIGINT", "int32": "INT", "bool": "BOOLEAN", "timestamp": "TIMESTAMP_LTZ(3)"}
FORMATS = {"jsonl": "json", "parquet": "parquet"}


class Dialect(Sql):
    """Flink's SQL. Its times have milliseconds."""

    name = "flink"
    quote = "`"

    def table(self, kind: str, path: str, columns: Mapping[str, str]) -> str:
        """See the contract."""
        name = self.quoted(f"files{len(self.declared)}")
        kinds = ", ".join(f"{self.quoted(one)} {self.kind(text)}" for one, text in columns.items())
        options = {"connector": "filesystem", "path": str(Path(path).absolute()), "format": FORMATS[kind]}
        if kind == "jsonl":
            options["json.timestamp-format.standard"] = "ISO-8601"
        told = ", ".join(f"{self.text(key)} = {self.text(value)}" for key, value in options.items())
        self.declared.append(f"CREATE TEMPORARY TABLE {name} ({kinds}) WITH ({told})")
        return name

    def kind(self, text: str) -> str:
        """See the contract."""
        if text.startswith("vector<"):
            return "ARRAY<FLOAT>"
        for ours, theirs in TYPES.items():
            text = text.replace(ours, theirs)
        return text if "<" in text else text.upper()

    def micros(self, timestamp: str) -> str:
        """See the contract."""
        milliseconds = f"EXTRACT(MILLISECOND FROM {timestamp})"
        return f"(UNIX_TIMESTAMP(CAST(CAST({timestamp} AS TIMESTAMP(0)) AS STRING)) * 1000000 + {milliseconds} * 1000)"

    def timestamp(self, micros: str) -> str:
        """See the contract."""
        return f"TO_TIMESTAMP_LTZ({micros} / 1000, 3)"

    def floor(self, micros: str, width: int) -> str:
        """See the contract."""
        return f"({micros} - MOD(MOD({micros}, {width}) + {width}, {width}))"

    def struct(self, parts: Sequence[str]) -> str:
        """See the contract."""
        return f"ROW({', '.join(parts)})"

    def earliest(self, value: str, order: Sequence[str]) -> str:
        """Flink has no word for it."""
        raise ConfigError(f"flink has no word for the first {value.removeprefix('e.')}: take duckdb or spark")

    def latest(self, value: str, order: Sequence[str], count: int) -> str:
        """Flink has no word for it."""
        raise ConfigError(f"flink has no word for the last {value.removeprefix('e.')}: take duckdb or spark")
