"""What a predictor counts while it answers."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Stats:
    """Counts since the predictor was loaded.

    Attributes:
        requests: Calls of `predict` that were answered.
        items: Candidates that they scored.
        batches: Calls of `predict_batch` that were answered.
        rows: Rows that they scored.
        refused: Calls that ended in a DataError.
        missing: By raw column, values that were null or not given, so that the feature's default was taken.
        unknown: By feature, values outside the vocabulary or the range of `num_buckets`.
        bad: By raw column, values that broke a rule and were replaced by the feature's default.
        out_of_table: Ids beyond the end of their embedding table, taken as no id; possible with `fg: encoded` only.
    """

    requests: int = 0
    items: int = 0
    batches: int = 0
    rows: int = 0
    refused: int = 0
    missing: Mapping[str, int] = field(default_factory=dict)
    unknown: Mapping[str, int] = field(default_factory=dict)
    bad: Mapping[str, int] = field(default_factory=dict)
    out_of_table: int = 0


class Counters:
    """The counts behind `Stats`, safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._totals: Counter[str] = Counter()
        self._missing: Counter[str] = Counter()
        self._unknown: Counter[str] = Counter()
        self._bad: Counter[str] = Counter()

    def answered(
        self,
        totals: Mapping[str, int],
        missing: Mapping[str, int],
        unknown: Mapping[str, int],
        bad: Iterable[str],
    ) -> None:
        """Add an answered call.

        Args:
            totals: What to add to `requests`, `items`, `batches`, `rows`.
            missing: Values by raw column.
            unknown: Values by feature.
            bad: The raw column of every bad value.
        """
        with self._lock:
            self._totals.update(totals)
            self._missing.update(missing)
            self._unknown.update(unknown)
            self._bad.update(bad)

    def refused(self) -> None:
        """Add a call that ended in a DataError."""
        with self._lock:
            self._totals["refused"] += 1

    def snapshot(self, out_of_table: int) -> Stats:
        """The counts of this moment, with one that the tables keep."""
        with self._lock:
            return Stats(
                **self._totals,
                missing=dict(self._missing),
                unknown=dict(self._unknown),
                bad=dict(self._bad),
                out_of_table=out_of_table,
            )
