"""`flink`: Flink SQL for batch mode, with the files declared in front; `easyrec.stream.continuous.flink` is for streaming mode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from easyrec.errors import ConfigError
from easyrec.stream.dialects import Sql

TYPES = {"string": "STRING", "int64": "BIGINT", "int32": "INT", "bool": "BOOLEAN", "timestamp": "TIMESTAMP_LTZ(3)"}
ROWTIME = "__rt"
"""The time attribute of a table of events in streaming mode."""
MOST_LAST = 100
"""Values of `last`, each of which is a word of the statement."""
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

    def earliest(self, value: str, order: Sequence[str], kind: str) -> str:
        """See the contract."""
        return self._value(f"MIN({self._row(value, order)}){self.over}", kind)

    def latest(self, value: str, order: Sequence[str], count: int, kind: str) -> str:
        """See the contract."""
        if count > MOST_LAST:
            raise ConfigError(
                f"flink says the last {MOST_LAST} of a column, not {count} of {value.removeprefix('e.')}: take duckdb or spark"
            )
        rows = f"ARRAY_REMOVE(ARRAY_AGG({self._row(value, order)}){self.over}, CAST(NULL AS STRING))"
        last = f"ARRAY_SLICE(ARRAY_SORT({rows}), -{count})"
        # An array that is shorter gives null where it ends; null values were left out before.
        values = ", ".join(self._value(f"{last}[{place + 1}]", kind) for place in range(count))
        return f"ARRAY_REMOVE(ARRAY[{values}], CAST(NULL AS {self.kind(kind)}))"

    @staticmethod
    def _row(value: str, order: Sequence[str]) -> str:
        """A text in the order of time and name that holds a value: Flink has no word for the value of the first row.

        20 digits of the time, the name, a character that is in no name, the value, 10 digits of the name's length.
        """
        time, name = order
        length = f"LPAD(CAST(CHAR_LENGTH({name}) AS STRING), 10, '0')"
        return f"LPAD(CAST({time} + {1 << 62} AS STRING), 20, '0') || {name} || CHR(1) || CAST({value} AS STRING) || {length}"

    def _value(self, row: str, kind: str) -> str:
        """The value of such a text."""
        length = f"CAST(SUBSTRING({row}, CHAR_LENGTH({row}) - 9) AS INT)"
        return f"CAST(SUBSTRING({row}, 22 + {length}, CHAR_LENGTH({row}) - 31 - {length}) AS {self.kind(kind)})"
