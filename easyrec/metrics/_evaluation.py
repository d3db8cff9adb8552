"""The evaluation pass: rows in, the values of all metrics of all tasks and slices out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa

from easyrec.config.evaluation import EvalConfig
from easyrec.errors import DataError
from easyrec.metrics._metric import Columns, Metric, build

if TYPE_CHECKING:
    from typing_extensions import Self

    from easyrec.config.model import TaskConfig

MAX_SLICES = 1000
"""Values that a column of slices may have."""


class Rows(Protocol):
    """What the pass reads of a batch; `easyrec.batch.Batch` is one."""

    @property
    def labels(self) -> Mapping[str, Any]:
        """(B,) by label."""

    @property
    def sample_weight(self) -> Any:
        """(B,), or None."""

    @property
    def reserved(self) -> pa.Table | None:
        """Raw columns."""


class Evaluation:
    """The metrics of all tasks, over all rows and over the rows of each slice.

    Args:
        tasks: What was predicted.
        config: Metrics and slices.

    Raises:
        ConfigError: A metric fits no task.
    """

    def __init__(self, tasks: Sequence[TaskConfig], config: EvalConfig) -> None:
        self.tasks, self.config = tuple(tasks), config
        self.configs = config.for_tasks(tasks)
        self.whole = self._fresh()
        self.sliced: dict[tuple[str, str], dict[str, list[Metric]]] = {}
        self.slices = config.slices_of(tasks)

    def _fresh(self, column: str | None = None) -> dict[str, list[Metric]]:
        """New metrics of each task: all, or those that are sliced by a column."""
        every = column is None or column in self.config.slices
        return {
            task.name: [build(m) for m in self.configs[task.name] if every or column in m.sliced_by]
            for task in self.tasks
        }

    def update(
        self,
        predictions: Mapping[str, np.ndarray],
        labels: Mapping[str, np.ndarray],
        weights: np.ndarray | None = None,
        columns: Columns | None = None,
    ) -> None:
        """Take in B rows.

        Args:
            predictions: By task: (B,) probabilities or values, (B, C) probabilities for tasks with classes.
            labels: By label: (B,).
            weights: (B,) sample weights, or None.
            columns: The raw columns that slices and metrics read; `EvalConfig.columns` lists them.

        Raises:
            DataError: A column of slices has more than 1,000 values.
        """
        columns = columns or {}
        slices = [(column, list(_values(columns[column]))) for column in self.slices]
        for task in self.tasks:
            rows = None if task.rows is None else np.flatnonzero(task.rows.rows(labels))
            part = _Part(labels[task.label], np.asarray(predictions[task.name]), weights, columns).take(rows)
            part.feed(self.whole[task.name])
            for column, values in slices:
                for value, members in values:
                    chosen = members if rows is None else np.flatnonzero(np.isin(rows, members, assume_unique=True))
                    if len(chosen):
                        part.take(chosen).feed(self._slice(column, value)[task.name])

    def _slice(self, column: str, value: str) -> dict[str, list[Metric]]:
        found = self.sliced.get((column, value))
        if found is None:
            if sum(c == column for c, _ in self.sliced) == MAX_SLICES:
                raise DataError(f"eval.slices takes columns of at most {MAX_SLICES} values", column=column)
            found = self.sliced[(column, value)] = self._fresh(column)
        return found

    def merge(self, other: Self) -> None:
        """Take in all that `other` was fed, under the same tasks and config."""
        parts = [(self.whole, other.whole)]
        parts += [(self._slice(*key), metrics) for key, metrics in other.sliced.items()]
        for mine, theirs in parts:
            for task, metrics in mine.items():
                for metric, more in zip(metrics, theirs[task], strict=True):
                    metric.merge(more)

    def compute(self) -> dict[str, float]:
        """All values: `auc`, with several tasks `ctr/auc`; of a slice `auc[country=US]`. NaN where not defined."""
        result: dict[str, float] = {}
        for place, tasks in [("", self.whole), *((f"[{c}={v}]", m) for (c, v), m in sorted(self.sliced.items()))]:
            for task, metrics in tasks.items():
                prefix = f"{task}/" if len(self.tasks) > 1 else ""
                result.update({f"{prefix}{metric.config.key}{place}": metric.compute() for metric in metrics})
        return result


def evaluate(
    predict: Callable[[Any], Mapping[str, np.ndarray]],
    loader: Iterable[Rows],
    tasks: Sequence[TaskConfig],
    config: EvalConfig,
) -> dict[str, float]:
    """Predict every batch and measure.

    Args:
        predict: From a batch to predictions by task, as `Evaluation.update` takes them.
        loader: Batches with labels, and with the columns of `EvalConfig.columns` among their reserved ones.
        tasks: What is predicted.
        config: Metrics and slices.

    Returns:
        Values by key, see `Evaluation.compute`.
    """
    evaluation = Evaluation(tasks, config)
    needed = config.columns(tasks)
    for batch in loader:
        labels = {name: np.asarray(values) for name, values in batch.labels.items()}
        weights = None if batch.sample_weight is None else np.asarray(batch.sample_weight)
        columns = {} if batch.reserved is None else {c: batch.reserved[c] for c in needed}
        evaluation.update(predict(batch), labels, weights, columns)
    return evaluation.compute()


class _Part:
    """Some rows of one task."""

    def __init__(
        self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None, columns: Columns
    ) -> None:
        self.labels, self.predictions, self.weights, self.columns = labels, predictions, weights, columns

    def take(self, rows: np.ndarray | None) -> _Part:
        """The rows at these positions; None: all."""
        if rows is None:
            return self
        weights = None if self.weights is None else self.weights[rows]
        index = pa.array(rows)
        columns = {
            name: c.take(index) if isinstance(c, pa.Array | pa.ChunkedArray) else np.asarray(c)[rows]
            for name, c in self.columns.items()
        }
        return _Part(self.labels[rows], self.predictions[rows], weights, columns)

    def feed(self, metrics: Sequence[Metric]) -> None:
        for metric in metrics:
            columns = {name: self.columns[name] for name in metric.config.columns}
            metric.update(self.labels, self.predictions, self.weights, columns)


def _values(column: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Each value of a column as text, and the ascending positions of its rows."""
    array = column if isinstance(column, pa.Array | pa.ChunkedArray) else pa.array(column)
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if isinstance(array, pa.DictionaryArray):
        array = array.dictionary_decode()
    encoded = array.dictionary_encode("encode")
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(encoded.dictionary)))
    for value, start, end in zip(encoded.dictionary.to_pylist(), [0, *ends[:-1]], ends, strict=True):
        yield "null" if value is None else str(value), order[start:end]
