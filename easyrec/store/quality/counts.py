"""Distributions of fields: counts in bins that a baseline decides."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from easyrec.histograms import count_numbers, edges_of, psi

SAMPLE = 200_000
"""Values that a baseline is made of, at most."""
WORDS = 100
"""Texts of a baseline that are counted one by one, the most frequent first."""


@dataclass(frozen=True)
class Baseline:
    """What a field was like.

    Attributes:
        kind: `numbers` in bins between `edges`, then null; `texts` one by one, then all others, then null.
        edges: Ascending.
        texts: The most frequent.
        counts: Rows by bin.
    """

    kind: Literal["numbers", "texts"]
    edges: list[float]
    texts: list[str]
    counts: list[int]

    def told(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)

    def count(self, values: pa.Array | np.ndarray) -> np.ndarray:
        """(bins,) rows of now in each bin."""
        if self.kind == "numbers":
            return count_numbers(np.asarray(values), self.edges)
        assert isinstance(values, pa.Array)
        found = pc.index_in(values, value_set=pa.array(self.texts, pa.string()))
        place = pc.if_else(pc.is_null(values), len(self.texts) + 1, pc.fill_null(found, len(self.texts)))
        return np.bincount(place.to_numpy(zero_copy_only=False), minlength=len(self.texts) + 2)


class Distribution:
    """Counts of a field's values, batch after batch.

    Args:
        baseline: Whose bins; None: there is none yet, and these rows may become one.
    """

    def __init__(self, baseline: Baseline | None) -> None:
        self.baseline, self.rows = baseline, 0
        self._counts = np.zeros(0 if baseline is None else len(baseline.counts), np.int64)
        self._kept: list[Any] = []
        self._step, self._random = 1.0, np.random.default_rng(0)

    def add(self, column: pa.Array) -> None:
        """Take rows in."""
        values = measured(column)
        self.rows += len(values)
        if self.baseline is not None:
            self._counts += self.baseline.count(values)
            return
        self._kept.append(self._some(values))
        while sum(map(len, self._kept)) > SAMPLE:  # each value had the same chance to stay, whenever it came
            self._step /= 2.0
            self._kept = [self._some(values, 0.5) for values in self._kept]

    def _some(self, values: Any, share: float | None = None) -> Any:
        share = self._step if share is None else share
        if share == 1.0:
            return values
        chosen = np.flatnonzero(self._random.random(len(values)) < share)
        return values.take(pa.array(chosen)) if isinstance(values, pa.Array) else values[chosen]

    def index(self) -> float | None:
        """How far the rows are from the baseline; None: there is none."""
        return None if self.baseline is None else psi(np.array(self.baseline.counts), self._counts)

    def made(self) -> Baseline | None:
        """The baseline that these rows are; None where they were compared with one, or there are none."""
        if self.baseline is not None or not self.rows:
            return None
        if not isinstance(self._kept[0], pa.Array):
            values = np.concatenate(self._kept)
            edges = edges_of(values)
            return Baseline("numbers", edges, [], count_numbers(values, edges).tolist())
        column = pa.chunked_array(self._kept).combine_chunks()
        counted = column.drop_null().value_counts()
        order = np.argsort(-counted.field("counts").to_numpy(), kind="stable")[:WORDS]
        texts = counted.field("values").take(pa.array(order)).to_pylist()
        empty = Baseline("texts", [], texts, [])
        return Baseline("texts", [], texts, empty.count(column).tolist())


def measured(column: pa.Array) -> Any:
    """What of a field is counted: numbers, texts, lengths of lists and maps, lengths of vectors; NaN is null."""
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return column.cast(pa.string())
    if pa.types.is_fixed_size_list(kind):
        flat = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, kind.list_size)
        made = np.full(len(column), np.nan)
        made[~column.is_null().to_numpy(zero_copy_only=False)] = np.linalg.norm(flat, axis=1)
        return made
    if pa.types.is_map(kind):
        column = column.cast(pa.list_(pa.struct([kind.key_field, kind.item_field])))
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        column = pc.list_value_length(column)
    if pa.types.is_timestamp(column.type) or pa.types.is_boolean(column.type):
        column = column.cast(pa.int64())
    return column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
