"""`sorted_rows`: rows in the order of their labels that are not mixed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from easyrec.tune.advise.evidence import Evidence
from easyrec.tune.advise.proposal import Proposal
from easyrec.tune.advise.rules import Need, Rule

ALIKE = 0.5
"""Correlation of the labels of neighbours from which on it is told."""


class SortedRows(Rule):
    """Rows are sorted by their label, and learned in that order."""

    needs: ClassVar[Need] = "data"

    def look(self, evidence: Evidence) -> Iterator[Proposal]:
        """See the family's contract."""
        task, shuffle, part = evidence.task, evidence.experiment.shuffle, evidence.train
        labels = None if task is None else part.labels.get(task.label)
        if task is None or labels is None or (shuffle is not None and shuffle.buffer_rows >= 100_000):
            return
        usable = labels[np.isfinite(labels)].astype(np.float64)
        if len(usable) < 1000 or usable.std() == 0:
            return
        alike = float(np.corrcoef(usable[:-1], usable[1:])[0, 1])
        runs = len(usable) / (1 + int((np.diff(usable) != 0).sum()))
        if alike < ALIKE or (shuffle is not None and shuffle.buffer_rows > 100 * runs):
            return
        mixed = "not mixed" if shuffle is None else f"mixed over {shuffle.buffer_rows:,} rows"
        yield Proposal(
            "high",
            "data.shuffle",
            f"neighbours have the same '{task.label}' with a correlation of {alike:.2f}, in runs of {runs:,.0f} rows, and rows are "
            f"{mixed}",
            "a step that sees one label alone teaches the model that label, and the next one the other",
            "training converges at all; it takes memory for a million rows at most (data.shuffle.buffer_mb)",
            {"data.shuffle": {"buffer_rows": 1_000_000}},
        )
