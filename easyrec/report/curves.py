"""ROC and reliability of a binary task, gathered batch by batch in a fixed histogram of the predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 8192
LIMIT = 14.0  # in logits; beyond it a probability is 0 or 1 to six digits


class Curves:
    """Positives, negatives and summed predictions by prediction, on a grid of 8192 logits.

    `update` and `merge` have the form of a metric's; `compute` gives what the report plots.
    """

    def __init__(self) -> None:
        self.positives: NDArray[np.float64] = np.zeros(BINS)
        self.negatives: NDArray[np.float64] = np.zeros(BINS)
        self.predicted: NDArray[np.float64] = np.zeros(BINS)

    def update(
        self,
        labels: NDArray[Any],
        predictions: NDArray[Any],
        weights: NDArray[Any] | None = None,
        columns: Any = None,
    ) -> None:
        """Add rows: labels 0 or 1 and probabilities, each (rows,)."""
        probability = np.asarray(predictions, dtype=np.float64)
        clipped = np.clip(probability, 1e-9, 1 - 1e-9)
        logit = np.log(clipped) - np.log1p(-clipped)
        cell = np.clip((logit + LIMIT) * (BINS / (2 * LIMIT)), 0, BINS - 1).astype(np.int64)
        weight = np.ones(len(probability)) if weights is None else np.asarray(weights, dtype=np.float64)
        label = np.asarray(labels, dtype=np.float64)
        self.positives += np.bincount(cell, label * weight, BINS)
        self.negatives += np.bincount(cell, (1.0 - label) * weight, BINS)
        self.predicted += np.bincount(cell, probability * weight, BINS)

    def merge(self, other: Curves) -> None:
        """Add the rows of `other`."""
        self.positives += other.positives
        self.negatives += other.negatives
        self.predicted += other.predicted

    def compute(self) -> dict[str, Any]:
        """The plots as plain data.

        Returns:
            `roc`: false and true positive rates, from (0, 0) to (1, 1); empty where a class is missing.
            `reliability`: mean prediction, observed rate and rows of about 20 groups of equal size.
            `histogram`: rows by predicted probability, `counts` between `edges`.
        """
        return {"roc": self._roc(), "reliability": self._reliability(), "histogram": self._histogram()}

    def _roc(self) -> dict[str, list[float]]:
        if not self.positives.sum() or not self.negatives.sum():
            return {"fpr": [], "tpr": []}
        tpr = np.concatenate([[0.0], np.cumsum(self.positives[::-1])]) / self.positives.sum()
        fpr = np.concatenate([[0.0], np.cumsum(self.negatives[::-1])]) / self.negatives.sum()
        # Of thousands of corners keep those that are a pixel apart.
        grid = np.round(np.stack([fpr, tpr]) * 200).astype(np.int64)
        keep = np.concatenate([[True], np.any(np.diff(grid, axis=1) != 0, axis=0)])
        keep[-1] = True
        return {"fpr": _short(fpr[keep]), "tpr": _short(tpr[keep])}

    def _reliability(self) -> dict[str, list[float]]:
        rows = self.positives + self.negatives
        total = rows.sum()
        if not total:
            return {"predicted": [], "observed": [], "rows": []}
        group = np.minimum((np.cumsum(rows) - rows / 2) / total * 20, 19).astype(np.int64)
        count = np.bincount(group, rows, 20)
        full = count > 0
        predicted = np.bincount(group, self.predicted, 20)[full] / count[full]
        observed = np.bincount(group, self.positives, 20)[full] / count[full]
        return {"predicted": _short(predicted), "observed": _short(observed), "rows": _short(count[full])}

    def _histogram(self) -> dict[str, list[float]]:
        rows = self.positives + self.negatives
        logit = (np.arange(BINS) + 0.5) * (2 * LIMIT / BINS) - LIMIT
        probability = 1.0 / (1.0 + np.exp(-logit))
        # The axis ends where all but a thousandth of the rows have ended.
        beyond = np.cumsum(rows[::-1])[::-1] / max(rows.sum(), 1.0)
        last = min(int(np.searchsorted(-beyond, -1e-3)), BINS - 1)
        top = float(probability[last]) if rows.any() else 1.0
        edges = np.linspace(0.0, max(top, 1e-6), 41)
        counts = np.histogram(np.minimum(probability, edges[-1]), edges, weights=rows)[0]
        return {"edges": _short(edges), "counts": _short(counts)}


def _short(values: NDArray[Any]) -> list[float]:
    return [float(f"{value:.6g}") for value in values]
