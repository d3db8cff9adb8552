"""`auc`: the area under the ROC curve, exact."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from easyrec.metrics._metric import Kept, MetricConfig
from easyrec.metrics._ranking import areas


class Config(MetricConfig):
    """Config of `auc`."""

    task_types: ClassVar[frozenset[str]] = frozenset({"binary", "multiclass"})
    better: ClassVar[Literal["higher", "lower"] | None] = "higher"

    type: Literal["auc"] = "auc"


class AUC(Kept):
    """Probability that a positive row scores higher than a negative one, ties counting half.

    With classes: of each class against all others, the mean over the classes that some rows have and some have not.

    Keeps the float32 score, the label and the weight of every row (5 bytes a row, 9 with weights) and sorts once.
    NaN where one class is missing or a score is NaN.

    Source:
        Hanley and McNeil, "The meaning and use of the area under a ROC curve", Radiology 1982.
    """

    def label(self, labels: np.ndarray) -> np.ndarray:
        """One byte a row."""
        return labels.astype(np.uint8) if labels.size == 0 or labels.max() < 256 else labels.astype(np.uint32)

    def compute(self) -> float:
        """The area."""
        rows = self.rows()
        if rows is None:
            return float("nan")
        labels, scores, weights = rows
        if scores.ndim == 1:
            return _area(scores, labels != 0, weights)
        found = np.array([_area(scores[:, c], labels == c, weights) for c in range(scores.shape[1])])
        found = found[~np.isnan(found)]
        return float(found.mean()) if len(found) else float("nan")


def _area(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None) -> float:
    (pairs,), (positives,), (negatives,) = areas(scores, labels, weights)
    return float(pairs / (positives * negatives)) if positives and negatives else float("nan")
