"""`flat_rate`: rates that have given what they can."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from easyrec.tune.advise.evidence import Evidence
from easyrec.tune.advise.proposal import Proposal
from easyrec.tune.advise.rules import Need, Rule
from easyrec.tune.advise.rules._rates import constant, decayed

STILL, GAINED = 0.0005, 0.002
"""Range of the metric in the last half, and gain in the first, as parts of its size, by which it is told."""


class FlatRate(Rule):
    """The learning rate is saturated: metric and loss stand still at a rate that never falls."""

    needs: ClassVar[Need] = "run"

    def look(self, evidence: Evidence) -> Iterator[Proposal]:
        """See the family's contract."""
        run, train = evidence.history, evidence.experiment.train
        if run is None or len(run) < 6 or not constant(train):
            return
        half = len(run) // 2
        late, size = run.values[half:], abs(run.values[-1])
        early = max(run.values[: half + 1]) - run.values[0]
        losses = run.losses[half:]
        if max(late) - min(late) > STILL * size or early < GAINED * size or losses[-1] < 0.98 * losses[0]:
            return
        yield Proposal(
            "low",
            "train.dense_optimizer.schedule",
            f"the last {len(late)} evaluations lie within {max(late) - min(late):.5f} of {run.metric}, and the loss of training went from "
            f"{losses[0]:.4f} to {losses[-1]:.4f} in them; the rates stay at {train.dense_optimizer.lr:g} and {train.sparse_optimizer.lr:g}",
            "steps of one length dance around what they could settle in; the epochs since have given nothing",
            "rates that fall to 0 settle: as a rule 0.0005 to 0.003 of AUC, in the same time",
            decayed(train),
        )
