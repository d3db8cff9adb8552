"""The `eval` section."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator

from easyrec.config.fitting import fitting
from easyrec.errors import ConfigError, Problem
from feature_generator.config import Choice, StrictModel, member

if TYPE_CHECKING:
    from easyrec.config.model import TaskConfig

METRICS = "easyrec.metrics"
DEFAULT_METRICS: dict[str, tuple[str, ...]] = {
    "binary": ("auc", "logloss"),
    "regression": ("rmse", "mae"),
    "multiclass": ("accuracy", "logloss"),
    "ordinal": ("accuracy", "mae"),
    "ziln": ("rmse", "mae"),
}


class CalibrationConfig(StrictModel):
    """Post-hoc calibration, fitted on valid and shipped in the bundle."""

    method: Literal["platt", "isotonic"] = "platt"


class RetrievalEval(StrictModel):
    """The whole catalogue is ranked for each row of valid and test; the row's item is what was wanted."""

    metrics: list[Annotated[Any, Choice("easyrec.retrieval.metrics")]] = Field([], validate_default=True)
    """Default: recall, ndcg and mrr at 10, recall at 100, coverage at 10."""
    exclude: str | None = None
    """Feature with ids of items that are not recommended to the row's user, such as those of the history."""
    cold: int | None = Field(None, ge=0)
    """Rows that want an item which training met at most so often are told apart too, as `recall@10[cold]`."""

    @field_validator("metrics")
    @classmethod
    def _some_that_differ(cls, value: list[Any]) -> list[Any]:
        if not value:
            chosen = [("recall", 10), ("ndcg", 10), ("mrr", 10), ("recall", 100), ("coverage", 10)]
            value = [member("easyrec.retrieval.metrics", name).Config(type=name, k=k) for name, k in chosen]
        return different_keys(value)


def different_keys(metrics: list[Any]) -> list[Any]:
    """The metrics, whose keys must differ."""
    keys = [metric.key for metric in metrics]
    for key in keys:
        if keys.count(key) > 1:
            raise ValueError(f"two metrics would be reported as '{key}': give one of them a 'name'")
    return metrics


class EvalConfig(StrictModel):
    """The `eval` section."""

    metrics: list[Annotated[Any, Choice("easyrec.metrics")]] = []
    """Each task gets those that fit its type. Default: auc and logloss for binary tasks, rmse and mae for regression,
    accuracy and logloss for multiclass,
    accuracy and mae for ordinal, rmse and mae for ziln."""
    slices: list[str] = []
    """Columns by whose values every metric is reported too."""
    calibration: CalibrationConfig | None = None
    retrieval: RetrievalEval | None = None
    """Full ranking in place of the tasks' metrics, which need labels. Default with `data.sampler`."""

    @field_validator("metrics")
    @classmethod
    def _keys_differ(cls, value: list[Any]) -> list[Any]:
        return different_keys(value)

    @field_validator("slices")
    @classmethod
    def _no_repeats(cls, value: list[str]) -> list[str]:
        for column in value:
            if value.count(column) > 1:
                raise ValueError(f"'{column}' is listed twice")
        return value

    def for_tasks(self, tasks: Sequence[TaskConfig]) -> dict[str, tuple[Any, ...]]:
        """Configs of the metrics of each task: its own, else those of the section that fit, else its type's defaults.

        Raises:
            ConfigError: Metrics of the section fit no task.
        """
        types, problems = {task.type for task in tasks}, []
        for index, metric in enumerate(self.metrics):
            if not types & set(metric.task_types):
                text = f"'{metric.type}' fits none of the tasks, which are of type: {', '.join(sorted(types))}"
                problems.append(Problem(f"{text}\nfitting: {fitting(METRICS, types)}", f"eval.metrics.{index}"))
        if problems:
            raise ConfigError(problems)
        result = {}
        for task in tasks:
            chosen = [m for m in self.metrics if task.type in m.task_types] if task.metrics is None else task.metrics
            if not self.metrics and task.metrics is None:
                chosen = [member(METRICS, name).Config() for name in DEFAULT_METRICS[task.type]]
            result[task.name] = tuple(chosen)
        return result

    def readers(self, tasks: Sequence[TaskConfig], where: str = "eval") -> Iterator[tuple[str, str]]:
        """Who reads raw columns: dotted paths, each with its column.

        Args:
            tasks: The tasks.
            where: Path of this section.
        """
        yield from ((f"{where}.slices.{index}", column) for index, column in enumerate(self.slices))
        shared = {task.type for task in tasks if task.metrics is None}
        for index, metric in enumerate(self.metrics):
            if shared & metric.task_types:
                yield from _readers(metric, f"{where}.metrics.{index}")
        for number, task in enumerate(tasks):
            for index, metric in enumerate(task.metrics or []):
                yield from _readers(metric, f"model.tasks.{number}.metrics.{index}")

    def slices_of(self, tasks: Sequence[TaskConfig]) -> tuple[str, ...]:
        """Columns by whose values some metric is reported: those of the section, then those of metrics."""
        own = (column for chosen in self.for_tasks(tasks).values() for m in chosen for column in m.sliced_by)
        return tuple(dict.fromkeys([*self.slices, *own]))

    def columns(self, tasks: Sequence[TaskConfig]) -> tuple[str, ...]:
        """Raw columns that slices and metrics read beside labels and predictions."""
        read = (column for chosen in self.for_tasks(tasks).values() for m in chosen for column in m.columns)
        return tuple(dict.fromkeys([*self.slices_of(tasks), *read]))


def _readers(metric: Any, where: str) -> Iterator[tuple[str, str]]:
    """The keys of a metric that name raw columns, with these; the metric itself where none shows."""
    for column in dict.fromkeys([*metric.columns, *metric.sliced_by]):
        keys = [key for key in type(metric).model_fields if key not in ("type", "name")]
        found = [f"{where}.{key}" for key in keys if getattr(metric, key) == column]
        listed = [(key, value) for key in keys if isinstance(value := getattr(metric, key), list) and column in value]
        found += [f"{where}.{key}.{value.index(column)}" for key, value in listed]
        yield from ((place, column) for place in found or [where])
