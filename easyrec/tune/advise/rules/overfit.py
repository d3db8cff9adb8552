"""`overfit`: trainings that are best after their first epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from easyrec.tune.advise.evidence import Evidence
from easyrec.tune.advise.proposal import Proposal
from easyrec.tune.advise.rules import Need, Rule
from easyrec.tune.advise.rules._rates import decayed

LOST = 0.002
"""What the metric loses after its best from which on it is told, as a part of its size."""


class Overfit(Rule):
    """The metric falls after the first epoch while the loss of training falls on."""

    needs: ClassVar[Need] = "run"

    def look(self, evidence: Evidence) -> Iterator[Proposal]:
        """See the family's contract."""
        run, train = evidence.history, evidence.experiment.train
        if run is None or len(run) < 2 or run.epochs[run.best] > 1.01 or run.epochs[-1] < 1.99:
            return
        best, last = run.values[run.best], run.values[-1]
        if best - last < LOST * abs(best) or run.losses[-1] > 0.98 * run.losses[run.best] or train.epochs == 1:
            return
        yield Proposal(
            "medium",
            "train.epochs",
            f"valid {run.metric} was best after epoch {run.epochs[run.best]:g} ({abs(best):.5f}) and came to {abs(last):.5f}, while the loss "
            f"of training went from {run.losses[run.best]:.4f} to {run.losses[-1]:.4f}",
            "ids are learned by heart in the second pass, as large tables are by most models of clicks",
            "one epoch whose rates fall to 0 at its end, as a rule 0.001 to 0.005 above the best of a longer training, in a part of its "
            "time; a stronger embedding_regularizer or dropout is the other way",
            {"train.epochs": 1, **decayed(train)},
        )
