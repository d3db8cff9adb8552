"""Metrics, and the evaluation pass that feeds them. Knows no torch.

The contract of the family: `easyrec/metrics/<type>.py` holds the metric's `Config` over `MetricConfig`, and one class
over `Metric`. A metric is fed batch by batch; two that were fed different rows merge into what one would be that was
fed them all; the order of rows does not matter.
"""

from __future__ import annotations

from easyrec.metrics._evaluation import Evaluation, evaluate
from easyrec.metrics._metric import Columns, Metric, MetricConfig, build

__all__ = ["Columns", "Evaluation", "Metric", "MetricConfig", "build", "evaluate"]
