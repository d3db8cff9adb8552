"""`unsteady_rate`: metrics that jump."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import ClassVar

from easyrec.tune.advise.evidence import Evidence
from easyrec.tune.advise.proposal import Proposal
from easyrec.tune.advise.rules import Need, Rule
from easyrec.tune.advise.rules._rates import scaled

JUMP = 0.005
"""Mean change from one evaluation to the next, as a part of the metric's size, from which on it is told."""


class UnsteadyRate(Rule):
    """The learning rate is too large: the metric jumps up and down from one evaluation to the next."""

    needs: ClassVar[Need] = "run"

    def look(self, evidence: Evidence) -> Iterator[Proposal]:
        """See the family's contract."""
        run, train = evidence.history, evidence.experiment.train
        if run is None or len(run) < 5:
            return
        steps = run.steps[1:]
        jump, net = sum(map(abs, steps)) / len(steps), abs(run.values[-1] - run.values[1])
        turns = sum(a * b < 0 for a, b in itertools.pairwise(steps))
        if jump < JUMP * abs(run.values[-1]) or net > jump * len(steps) / 2 or turns < (len(steps) - 1) / 2:
            return
        yield Proposal(
            "medium",
            "train.dense_optimizer.lr",
            f"{run.metric} changes by {jump:.4f} from one evaluation to the next, up and down in turns, and by {net:.4f} in all since the "
            f"second; rates {train.dense_optimizer.lr:g} and {train.sparse_optimizer.lr:g}",
            "which evaluation is the best is chance, and what it is worth too",
            "a steady course and most likely a better end; if jumps stay, valid is too small to tell",
            scaled(train, 1 / 3),
        )
