"""`label_shift`: labels that are rarer or more frequent in `valid`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from easyrec.tune.advise.evidence import Evidence
from easyrec.tune.advise.proposal import Proposal
from easyrec.tune.advise.rules import Need, Rule

APART, SURE = 0.3, 8.0
"""Relative difference, and its standard errors, from which on it is told."""


class LabelShift(Rule):
    """The rate of the label differs between `train` and `valid`."""

    needs: ClassVar[Need] = "data"

    def look(self, evidence: Evidence) -> Iterator[Proposal]:
        """See the family's contract."""
        task, valid, experiment = evidence.task, evidence.valid, evidence.experiment
        if (
            task is None
            or valid is None
            or experiment.eval.calibration is not None
            or experiment.data.negative_sampling
        ):
            return
        both = [
            labels[np.isfinite(labels)]
            for part in (evidence.train, valid)
            if (labels := part.labels.get(task.label)) is not None
        ]
        if len(both) < 2 or not all(map(len, both)):
            return
        (p, n), (q, m) = ((float(one.mean()), len(one)) for one in both)
        pooled = (p * n + q * m) / (n + m)
        error = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
        if error == 0 or abs(p - q) < SURE * error or abs(p - q) < APART * max(min(p, q), 1e-9):
            return
        yield Proposal(
            "medium",
            "eval.calibration",
            f"'{task.label}' is 1 in {p:.2%} of {n:,} rows of train and in {q:.2%} of {m:,} rows of valid",
            "probabilities are learned at the rate of train, and are off by as much in use; or the parts are not drawn alike",
            "logloss and calibration on data like valid improve, AUC stays as it is; look first whether both parts are what they "
            "should be",
            {"eval.calibration": {"method": "platt"}},
        )
