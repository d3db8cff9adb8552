"""The contract of the family of metrics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field
from typing_extensions import Self

from easyrec.config.family import implementation
from feature_generator.config import StrictModel

Columns: TypeAlias = Mapping[str, Any]
"""Raw columns of some rows: Arrow arrays, or what Arrow makes an array of."""


class MetricConfig(StrictModel):
    """What every metric's config has; a metric's own `Config` derives from it.

    Attributes:
        task_types: Types of tasks that the metric is defined for.
        better: Which of two values is the better one; None where neither end is best, so that training cannot stop
            by this metric.
    """

    family: ClassVar[str | None] = "easyrec.metrics"
    task_types: ClassVar[frozenset[str]]
    better: ClassVar[Literal["higher", "lower"] | None]

    type: str
    name: str | None = None
    """Key under which the value is reported; default: the type."""
    by: str | None = None
    """Column by whose values the metric is reported too, as `logloss[country=US]`; short for `slices` with one."""
    slices: list[str] = []
    """Columns by whose values this metric is reported too, beside those of `eval.slices`."""

    @property
    def key(self) -> str:
        """Key under which the value is reported."""
        return self.name or self.type

    @property
    def columns(self) -> tuple[str, ...]:
        """Raw columns that the metric reads."""
        return ()

    @property
    def sliced_by(self) -> tuple[str, ...]:
        """Columns by whose values the metric is reported too."""
        return tuple(dict.fromkeys([*self.slices, *([] if self.by is None else [self.by])]))


class GroupConfig(MetricConfig):
    """What the config of a metric over groups of rows has."""

    by: str
    """Column whose equal values form a group, such as the user or the request."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The column of the groups."""
        return (self.by,)

    @property
    def sliced_by(self) -> tuple[str, ...]:
        """Columns by whose values the metric is reported too: `by` says something else here."""
        return tuple(dict.fromkeys(self.slices))


class ListConfig(GroupConfig):
    """What the config of a metric over ranked lists has."""

    k: int | None = Field(None, gt=0)
    """Rows of each list that count, the highest scores first; default: all."""

    @property
    def key(self) -> str:
        """Key under which the value is reported: `ndcg@10`."""
        return self.name or (self.type if self.k is None else f"{self.type.removesuffix('_at')}@{self.k}")


class Metric(ABC):
    """A number about labels and predictions, gathered batch by batch."""

    def __init__(self, config: Any) -> None:
        self.config = config

    @abstractmethod
    def update(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None, columns: Columns) -> None:
        """Take in n rows.

        Args:
            labels: (n,) float32.
            predictions: (n,) float32 probabilities or values; (n, C) probabilities of classes or levels.
            weights: (n,) float32, not negative; None: all rows count once.
            columns: The columns that the config asks for, n rows each.
        """

    @abstractmethod
    def merge(self, other: Self) -> None:
        """Take in all that `other` was fed."""

    @abstractmethod
    def compute(self) -> float:
        """The value over all rows so far; NaN where it is not defined, as for no rows."""


def build(config: MetricConfig) -> Metric:
    """A fresh metric of a config."""
    return implementation("easyrec.metrics", config.type, Metric)(config)  # type: ignore[type-abstract]


class Mean(Metric):
    """Base of metrics that are a weighted mean over rows."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.total, self.weight = 0.0, 0.0

    @abstractmethod
    def of_rows(self, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        """(n,) float64, the value of each row."""

    def update(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None, columns: Columns) -> None:
        """Add the rows' values and weights."""
        values = self.of_rows(labels, predictions)
        if weights is None:
            self.total += float(values.sum())
            self.weight += len(values)
        else:
            self.total += float(values @ weights.astype(np.float64))
            self.weight += float(weights.sum(dtype=np.float64))

    def merge(self, other: Self) -> None:
        """Add the other's sums."""
        self.total += other.total
        self.weight += other.weight

    def compute(self) -> float:
        """The mean."""
        return self.total / self.weight if self.weight else float("nan")


class Kept(Metric):
    """Base of metrics that need all rows at once: keeps float32 scores, labels, weights and the columns."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.labels: list[np.ndarray] = []
        self.predictions: list[np.ndarray] = []
        self.weights: list[np.ndarray | None] = []
        self.columns: dict[str, list[pa.Array]] = {name: [] for name in config.columns}

    def label(self, labels: np.ndarray) -> np.ndarray:
        """The labels as they are kept."""
        return np.array(labels, np.float32)

    def update(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None, columns: Columns) -> None:
        """Keep the rows."""
        self.labels.append(self.label(labels))
        self.predictions.append(np.array(predictions, np.float32))
        self.weights.append(None if weights is None else np.array(weights, np.float32))
        for name, kept in self.columns.items():
            kept.extend(arrow_chunks(columns[name]))

    def merge(self, other: Self) -> None:
        """Keep the other's rows too."""
        self.labels += other.labels
        self.predictions += other.predictions
        self.weights += other.weights
        for name, kept in self.columns.items():
            kept.extend(other.columns[name])

    def rows(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None] | None:
        """Labels, predictions and weights of all rows, weights None where no batch has any.

        None where there is nothing to measure: no rows, or a score that is NaN.
        """
        filled = [i for i, labels in enumerate(self.labels) if len(labels)]
        if not filled:
            return None
        labels = np.concatenate([self.labels[i] for i in filled])
        predictions = np.concatenate([self.predictions[i] for i in filled])
        weights = None
        if any(self.weights[i] is not None for i in filled):
            ones = [np.ones(len(self.labels[i]), np.float32) for i in filled]
            found = [self.weights[i] for i in filled]
            weights = np.concatenate([one if w is None else w for one, w in zip(ones, found, strict=True)])
        return None if np.isnan(predictions).any() else (labels, predictions, weights)

    def codes(self, column: str, *, ordered: bool = False) -> np.ndarray:
        """(n,) int64, 0 .. G-1: the value of the column in each row; null is a value too.

        Args:
            column: Its name.
            ordered: Number the values by their order, whatever the order of the rows.
        """
        encoded = pa.chunked_array(self.columns[column]).combine_chunks().dictionary_encode("encode")
        codes: np.ndarray = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        if not ordered:
            return codes
        place: np.ndarray = np.empty(len(encoded.dictionary), np.int64)
        place[pc.sort_indices(encoded.dictionary).to_numpy()] = np.arange(len(place))
        result: np.ndarray = place[codes]
        return result


def arrow_chunks(column: object) -> list[pa.Array]:
    """A column as Arrow arrays of plain values; dictionaries are resolved, so that chunks can differ in theirs."""
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    arrays = [c if isinstance(c, pa.Array) else pa.array(c) for c in chunks]
    return [a.dictionary_decode() if isinstance(a, pa.DictionaryArray) else a for a in arrays]


def levels(predictions: np.ndarray) -> np.ndarray:
    """(n,) float64, the values that were predicted; of (n, C) probabilities of levels 0 .. C-1 the expected level."""
    values = predictions.astype(np.float64)
    return values if values.ndim == 1 else np.asarray(values @ np.arange(values.shape[1]))
