"""`gauc`: AUC inside each group of rows, averaged."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from easyrec.metrics._metric import Columns, Metric, MetricConfig
from easyrec.metrics._ranking import areas
from easyrec.metrics.auc import gathered


class Config(MetricConfig):
    """Config of `gauc`."""

    task_types: ClassVar[frozenset[str]] = frozenset({"binary"})
    better: ClassVar[Literal["higher", "lower"] | None] = "higher"

    type: Literal["gauc"] = "gauc"
    by: str
    """Column whose equal values form a group, such as the user."""
    weighting: Literal["plain", "samples", "positives"] = "samples"
    """How groups are averaged: each once (`plain`), by their rows (`samples`), or by their positive rows
    (`positives`); with sample weights, by the sums of those."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The column of the groups."""
        return (self.by,)


class GAUC(Metric):
    """``sum_g w_g AUC_g / sum_g w_g`` over the groups that hold both classes.

    Rows whose group is null form a group of their own. NaN where no group holds both classes or a score is NaN.

    Source:
        Zhou et al., "Deep Interest Network", KDD 2018, eq. (7), which weights by impressions.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.scores: list[np.ndarray] = []
        self.labels: list[np.ndarray] = []
        self.weights: list[np.ndarray | None] = []
        self.groups: list[pa.Array] = []

    def update(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None, columns: Columns) -> None:
        """Keep the rows and their groups."""
        self.scores.append(np.array(predictions, np.float32))
        self.labels.append(labels != 0)
        self.weights.append(None if weights is None else np.array(weights, np.float32))
        self.groups += arrow_chunks(columns[self.config.by])

    def merge(self, other: Self) -> None:
        """Keep the other's rows too."""
        self.scores += other.scores
        self.labels += other.labels
        self.weights += other.weights
        self.groups += other.groups

    def compute(self) -> float:
        """The weighted mean of the groups' areas."""
        scores, labels, weights = gathered(self.scores, self.labels, self.weights)
        if not len(scores) or np.isnan(scores).any():
            return float("nan")
        codes = pa.chunked_array(self.groups).combine_chunks().dictionary_encode("encode")
        groups = codes.indices.to_numpy(zero_copy_only=False)
        pairs, positives, negatives = areas(scores, labels, weights, groups)
        both = (positives > 0) & (negatives > 0)
        if not both.any():
            return float("nan")
        area = pairs[both] / (positives[both] * negatives[both])
        share = {
            "plain": np.ones(len(area)),
            "samples": positives[both] + negatives[both],
            "positives": positives[both],
        }[self.config.weighting]
        return float(np.average(area, weights=share))


def arrow_chunks(column: object) -> list[pa.Array]:
    """A column as Arrow arrays of plain values; dictionaries are resolved, so that chunks can differ in theirs."""
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    arrays = [c if isinstance(c, pa.Array) else pa.array(c) for c in chunks]
    return [a.dictionary_decode() if isinstance(a, pa.DictionaryArray) else a for a in arrays]
