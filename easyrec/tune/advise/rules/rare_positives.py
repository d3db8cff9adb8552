"""`rare_positives`: labels that are nearly always 0."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from easyrec.tune.advise.evidence import Evidence
from easyrec.tune.advise.proposal import Proposal
from easyrec.tune.advise.rules import Need, Rule

RATE = 0.02
"""Share of ones below which it is told."""
LEAST_ROWS = 1_000_000
"""Rows that all together have; fewer are learned in no time."""
WANTED = 0.1


class RarePositives(Rule):
    """Labels are so unbalanced that most of the time goes into rows that say nothing new."""

    needs: ClassVar[Need] = "data"

    def look(self, evidence: Evidence) -> Iterator[Proposal]:
        """See the family's contract."""
        task, data, part = evidence.task, evidence.experiment.data, evidence.train
        if (
            task is None
            or data.negative_sampling is not None
            or data.sampler is not None
            or task.label != data.labels[0]
        ):
            return
        labels = part.labels.get(task.label)
        if labels is None or (part.total is not None and part.total < LEAST_ROWS):
            return
        usable = labels[np.isfinite(labels)]
        rate = float(usable.mean()) if len(usable) else 0.0
        if not 0 < rate < RATE or len(evidence.experiment.tasks) > 1:
            return
        keep = max(round(rate / (1 - rate) * (1 - WANTED) / WANTED, 3), 0.001)
        left = rate + (1 - rate) * keep
        yield Proposal(
            "medium",
            "data.negative_sampling",
            f"'{task.label}' is 1 in {rate:.3%} of {part.rows:,} rows",
            "a step of so few positives learns little, and most of the time goes into rows that are alike",
            f"{left:.0%} of the rows are learned, so an epoch takes about so much of its time; AUC as a rule within ±0.001; "
            "logits are corrected, so probabilities stay those of all rows",
            {"data.negative_sampling": {"keep_rate": keep}},
        )
