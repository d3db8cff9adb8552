"""`auc`: the area under the ROC curve, exact."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from typing_extensions import Self

from easyrec.metrics._metric import Columns, Metric, MetricConfig
from easyrec.metrics._ranking import areas


class Config(MetricConfig):
    """Config of `auc`."""

    task_types: ClassVar[frozenset[str]] = frozenset({"binary"})
    better: ClassVar[Literal["higher", "lower"] | None] = "higher"

    type: Literal["auc"] = "auc"


class AUC(Metric):
    """Probability that a positive row scores higher than a negative one, ties counting half.

    Keeps the float32 score, the label and the weight of every row (5 bytes a row, 9 with weights) and sorts once.
    NaN where one class is missing or a score is NaN.

    Source:
        Hanley and McNeil, "The meaning and use of the area under a ROC curve", Radiology 1982.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.scores: list[np.ndarray] = []
        self.labels: list[np.ndarray] = []
        self.weights: list[np.ndarray | None] = []

    def update(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None, columns: Columns) -> None:
        """Keep the rows."""
        self.scores.append(np.array(predictions, np.float32))
        self.labels.append(labels != 0)
        self.weights.append(None if weights is None else np.array(weights, np.float32))

    def merge(self, other: Self) -> None:
        """Keep the other's rows too."""
        self.scores += other.scores
        self.labels += other.labels
        self.weights += other.weights

    def compute(self) -> float:
        """The area."""
        scores, labels, weights = gathered(self.scores, self.labels, self.weights)
        if np.isnan(scores).any():
            return float("nan")
        (pairs,), (positives,), (negatives,) = areas(scores, labels, weights)
        return float(pairs / (positives * negatives)) if positives and negatives else float("nan")


def gathered(
    scores: list[np.ndarray], labels: list[np.ndarray], weights: list[np.ndarray | None]
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """The batches side by side; weights are None where no batch has any."""
    joined = None
    if any(w is not None for w in weights):
        pairs = zip(scores, weights, strict=True)
        joined = np.concatenate([np.ones(len(s), np.float32) if w is None else w for s, w in pairs])
    empty_scores, empty_labels = np.zeros(0, np.float32), np.zeros(0, np.bool_)
    return np.concatenate([empty_scores, *scores]), np.concatenate([empty_labels, *labels]), joined
