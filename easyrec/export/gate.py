"""The accuracy gate: what a lossy precision costs on held-out rows, and whether that is too much."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from easyrec.batch import Batch
from easyrec.export.warmup import largest_error
from easyrec.metrics import auc

if TYPE_CHECKING:
    from easyrec.config import Experiment

HeldOut: TypeAlias = Callable[[], Iterable[Batch]]
"""Gives rows with labels that the model was not trained on."""


class Trained(Protocol):
    """A trained model."""

    def uncalibrated(self, batch: Batch) -> dict[str, np.ndarray]:
        """Predictions by task, before calibration."""
        ...


@dataclass(frozen=True)
class Cost:
    """What something lossy costs.

    Attributes:
        rows: Rows that were scored.
        score_error: Largest difference of a prediction; relative above 1.
        auc_drop: By binary task, the trained AUC minus its own.
        auc: By binary task, its own.
        reason: Why that is too much; empty where it is not.
    """

    rows: int = 0
    score_error: float = 0.0
    auc_drop: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    auc: Mapping[str, float] = field(default_factory=dict)


class Gate:
    """Measures on held-out rows.

    Args:
        experiment: Its `export` section has the bounds.
        trained: The model.
        held_out: Gives the rows; None: there are none, and only the errors of warm-up rows count.
    """

    def __init__(self, experiment: Experiment, trained: Trained, held_out: HeldOut | None) -> None:
        self.config, self.trained, self.held_out = experiment.export, trained, held_out
        self.tasks = [task for task in experiment.tasks if task.type == "binary"]

    def __call__(
        self, score: Callable[[Batch], Mapping[str, np.ndarray]], error: float, *, compressed: bool = False
    ) -> Cost:
        """The cost of something lossy.

        Args:
            score: Gives its predictions.
            error: Largest difference over the warm-up rows.
            compressed: Whether it is compressed tables: rare ids move far, so that AUC decides unless the config bounds scores.
        """
        areas = {task.name: (auc.AUC(auc.Config()), auc.AUC(auc.Config())) for task in self.tasks}
        rows, worst = 0, error
        for batch in self.held_out() if self.held_out is not None else ():
            trained, found = self.trained.uncalibrated(batch), score(batch)
            worst = max(worst, *(largest_error(found[name], values) for name, values in trained.items()))
            labels = {name: values.numpy() for name, values in batch.labels.items()}
            weights = None if batch.sample_weight is None else batch.sample_weight.numpy()
            for task in self.tasks:
                chosen: Any = slice(None) if task.rows is None else task.rows.rows(labels)
                kept = None if weights is None else weights[chosen]
                for area, values in zip(areas[task.name], (trained, found), strict=True):
                    area.update(labels[task.label][chosen], values[task.name][chosen], kept, {})
            rows += batch.size
            if rows >= self.config.gate_rows:
                break
        computed = {name: (before.compute(), after.compute()) for name, (before, after) in areas.items()}
        drops = {name: before - after for name, (before, after) in computed.items() if not math.isnan(before)}
        if compressed and not rows:
            return Cost(reason="no held-out rows tell what compressed tables cost: give data.valid or data.test")
        bound = self.config.score_bound if compressed else self.config.max_score_error
        areas_after = {name: computed[name][1] for name in drops}
        return Cost(rows, worst, drops, self._reason(worst, drops, bound), areas_after)

    def _reason(self, worst: float, drops: Mapping[str, float], bound: float | None) -> str:
        if bound is not None and not worst <= bound:
            return f"a score moves by {worst:.2g}, allowed are {bound:g} (max_score_error)"
        if not np.isfinite(worst):
            return "a score is not finite"
        for name, drop in drops.items():
            if not drop <= self.config.max_auc_drop:
                return f"AUC of '{name}' drops by {drop:.2g}, allowed are {self.config.max_auc_drop:g} (max_auc_drop)"
        return ""
