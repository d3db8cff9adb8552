"""`leaking_feature`: features that know the label."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from easyrec.tune.advise.evidence import Evidence
from easyrec.tune.advise.proposal import Proposal
from easyrec.tune.advise.rules import Need, Rule
from easyrec.tune.advise.seen import Seen

AREA = 0.99
"""AUC of one feature alone from which on it is told."""
POSITIVES = 50
"""Rows of each class that this takes."""
FEW = 10
"""Values of a feature of which one that decides the label is told."""


class LeakingFeature(Rule):
    """One feature alone tells the label, as only what comes after it can."""

    needs: ClassVar[Need] = "data"

    def look(self, evidence: Evidence) -> Iterator[Proposal]:
        """See the family's contract."""
        task, part = evidence.task, evidence.train
        labels = None if task is None else part.labels.get(task.label)
        if task is None or labels is None:
            return
        for output in evidence.used:
            told = _told(part, output, labels, task.label)
            if told:
                yield Proposal(
                    "high",
                    evidence.spots[output].prefix,
                    told,
                    "what is known only once the label is known will not be there when the model is asked",
                    "metrics fall to what they will be in use; if it is known beforehand, leave it in",
                    evidence.without(output),
                    output,
                )


def _told(part: Seen, output: str, labels: np.ndarray, label: str) -> str:
    numbers, ids = part.numbers(output), part.ids(output)
    usable = np.isfinite(labels)
    if numbers is not None and numbers.shape[1] == 1:
        area = _area(numbers[usable, 0], labels[usable])
        return f"the number alone orders '{label}' with AUC {area:.4f}" if area >= AREA else ""
    if ids is None or not len(ids.values):
        return ""
    half = np.random.default_rng(0).random(part.rows) < 0.5  # rates of one half are tried on the other
    index = np.searchsorted(ids.distinct, ids.values)
    learned = half[ids.rows] & usable[ids.rows]
    size = len(ids.distinct)
    counts = np.bincount(index[learned], minlength=size)
    ones = np.bincount(index[learned], labels[ids.rows[learned]], minlength=size)
    base = float(labels[usable].mean())
    rates = (ones + base) / (counts + 1.0)
    sums = np.bincount(ids.rows, rates[index], minlength=part.rows) / np.maximum(
        np.bincount(ids.rows, minlength=part.rows), 1
    )
    asked = ~half & usable
    area = _area(sums[asked], labels[asked])
    if area >= AREA:
        return f"the rates of its values in one half of the rows order '{label}' in the other with AUC {area:.4f}"
    single = len(ids.values) == len(np.unique(ids.rows))
    if single and size <= FEW and base < 0.5:
        whole = np.bincount(index[usable[ids.rows]], minlength=size)
        sure = np.bincount(index[usable[ids.rows]], labels[ids.rows[usable[ids.rows]]], minlength=size)
        value = int(np.argmax(sure / np.maximum(whole, 1) * (whole >= POSITIVES)))
        if whole[value] >= POSITIVES and sure[value] == whole[value]:
            return f"'{label}' is 1 in all {whole[value]:,} rows with the value {ids.distinct[value]}, and in {base:.1%} of all"
    return ""


def _area(scores: np.ndarray, labels: np.ndarray) -> float:
    """The AUC, whichever way the scores point; 0 where there are too few rows of a class."""
    if min((labels == 1).sum(), (labels == 0).sum()) < POSITIVES:
        return 0.0
    from sklearn.metrics import roc_auc_score  # noqa: PLC0415 (slow to import)

    area = float(roc_auc_score(labels == 1, scores))
    return max(area, 1.0 - area)
