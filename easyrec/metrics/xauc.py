"""`xauc`: the share of pairs that the predicted values put in the order of the labels, exact."""

from __future__ import annotations

from typing import ClassVar, Literal

from easyrec.metrics._metric import Kept, MetricConfig
from easyrec.metrics._ranking import concordance


class Config(MetricConfig):
    """Config of `xauc`."""

    task_types: ClassVar[frozenset[str]] = frozenset({"regression", "ziln"})
    better: ClassVar[Literal["higher", "lower"] | None] = "higher"

    type: Literal["xauc"] = "xauc"


class XAUC(Kept):
    """Probability that of two rows with different labels the greater one scores higher, ties counting half.

    For labels 0 and 1 it is the AUC. Keeps 8 bytes a row (12 with weights). NaN where all labels are equal.

    Source:
        Zhan et al., "Deconfounding duration bias in watch-time prediction for video recommendation", KDD 2022, section
        5.1.
    """

    def compute(self) -> float:
        """The share."""
        rows = self.rows()
        if rows is None:
            return float("nan")
        labels, scores, weights = rows
        (ordered,), (pairs,) = concordance(scores, labels, weights)
        return float(ordered / pairs) if pairs > 0 else float("nan")
