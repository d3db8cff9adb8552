"""`spark`: Spark SQL, with `spark.sql.session.timeZone=UTC`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from easyrec.stream.dialects import Sql

TYPES = {"int64": "BIGINT", "int32": "INT", "bool": "BOOLEAN"}


class Dialect(Sql):
    """Spark's SQL."""

    name = "spark"
    quote = "`"

    def text(self, value: str) -> str:
        """See the contract; Spark reads backslashes in texts."""
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"

    def table(self, kind: str, path: str, columns: Mapping[str, str]) -> str:
        """See the contract."""
        return f"{'json' if kind == 'jsonl' else kind}.{self.quoted(path)}"

    def kind(self, text: str) -> str:
        """See the contract."""
        if text.startswith("vector<"):
            return "ARRAY<FLOAT>"
        for ours, theirs in TYPES.items():
            text = text.replace(ours, theirs)
        return text.upper()

    def micros(self, timestamp: str) -> str:
        """See the contract."""
        return f"unix_micros(CAST({timestamp} AS TIMESTAMP))"

    def timestamp(self, micros: str) -> str:
        """See the contract."""
        return f"timestamp_micros({micros})"

    def floor(self, micros: str, width: int) -> str:
        """See the contract."""
        return f"({micros} - pmod({micros}, {width}))"

    def struct(self, parts: Sequence[str]) -> str:
        """See the contract."""
        return f"struct({', '.join(parts)})"

    def latest(self, value: str, order: Sequence[str], count: int, kind: str) -> str:
        """See the contract."""
        rows = (
            f"array_sort(collect_list(struct({', '.join(order)}, {value} AS __v)) FILTER (WHERE {value} IS NOT NULL))"
        )
        return f"transform(slice({rows}, greatest(size({rows}) - {count - 1}, 1), {count}), one -> one.__v)"
