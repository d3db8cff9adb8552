"""Calibration after training: fitted on valid, shipped with the model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from easyrec.batch import Batch
from easyrec.config import Experiment
from easyrec.errors import DataError
from easyrec.modules import calibration
from easyrec.train.scorer import Scorer


def fit_calibration(
    experiment: Experiment, scorer: Scorer, valid: Iterable[Batch], heed: Callable[[], None]
) -> dict[str, dict[str, Any]]:
    """Fit the configured calibration of every binary task.

    Args:
        experiment: Names the method; without one nothing is fitted.
        scorer: Gives the probabilities before calibration.
        valid: Rows to fit on.
        heed: Called before every batch; may raise to end the pass.

    Returns:
        By task, as plain data; empty where nothing is configured.
    """
    config = experiment.eval.calibration
    tasks = [task for task in experiment.tasks if task.type == "binary"]
    if config is None or not tasks:
        return {}
    found: dict[str, list[tuple[np.ndarray, np.ndarray, np.ndarray | None]]] = {task.name: [] for task in tasks}
    with scorer.averaged():
        for batch in valid:
            heed()
            predictions = scorer.uncalibrated(batch)
            labels = {name: values.numpy() for name, values in batch.labels.items()}
            weights = None if batch.sample_weight is None else batch.sample_weight.numpy()
            for task in tasks:
                rows: Any = slice(None) if task.rows is None else task.rows.rows(labels)
                kept = None if weights is None else weights[rows].copy()
                found[task.name].append((predictions[task.name][rows], labels[task.label][rows].copy(), kept))
    result = {}
    for name, parts in found.items():
        if not parts:
            raise DataError("there are no rows to fit the calibration on", file="data.valid")
        probabilities, labels_, weights_ = zip(*parts, strict=True)
        joined = None if weights_[0] is None else np.concatenate(weights_)
        fitted = calibration.fit(config.method, np.concatenate(probabilities), np.concatenate(labels_), joined)
        result[name] = fitted.to_json()
    return result
