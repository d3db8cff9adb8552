"""What was wrong with the rows that were read: counts by column and reason."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import Self

MAX_REASONS = 200
"""Different (column, reason) pairs that are told apart; the rest count as one."""

_VALUE = re.compile(r"^(?:'.*'|\S+) (is|lies|has)\b", re.DOTALL)
"""The value that a reason starts with: `'abc' is not a number`."""


@dataclass(frozen=True)
class Report:
    """Rows read in one epoch, and what was wrong with them.

    Attributes:
        read: Rows read of this part of the data (after the split, before bad rows and negatives were left out).
        kept: Rows that became part of a batch.
        bad: Number of bad values by (column, reason); the column is empty for rows that could not be parsed.
    """

    read: int = 0
    kept: int = 0
    bad: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def __add__(self, other: Report) -> Report:
        bad = dict(self.bad)
        for key, count in other.bad.items():
            known = key in bad or len(bad) < MAX_REASONS
            key = key if known else ("", "other reasons")  # noqa: PLW2901 (one bucket for the long tail)
            bad[key] = bad.get(key, 0) + count
        return Report(self.read + other.read, self.kept + other.kept, bad)

    def __str__(self) -> str:
        """One line per column and reason, most frequent first; empty where nothing was wrong."""
        lines = sorted(self.bad.items(), key=lambda item: (-item[1], item[0]))
        return "\n".join(f"{count:>10,}  {column or '(row)'}: {reason}" for (column, reason), count in lines)

    def summary(self) -> str:
        """How many values were bad and how many rows were used, then a line per column and reason."""
        values = "1 bad value" if self.num_bad == 1 else f"{self.num_bad:,} bad values"
        return f"{values}, {self.kept:,} of {self.read:,} rows were used\n{self}"

    @property
    def num_bad(self) -> int:
        """Bad values together."""
        return sum(self.bad.values())

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON."""
        return {"read": self.read, "kept": self.kept, "bad": [[*key, count] for key, count in self.bad.items()]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The report that `to_json` wrote."""
        bad = {(str(column), str(reason)): int(count) for column, reason, count in value["bad"]}
        return cls(int(value["read"]), int(value["kept"]), bad)


def count(values: Iterable[tuple[int, str, str]]) -> dict[tuple[str, str], int]:
    """How often each (column, reason) occurs among (row, column, reason), whatever the value in the reason."""
    return dict(Counter((column, _VALUE.sub(r"a value \1", reason)) for _, column, reason in values))
