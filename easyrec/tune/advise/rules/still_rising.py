"""`still_rising`: trainings that end on the way up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from easyrec.tune.advise.evidence import Evidence
from easyrec.tune.advise.proposal import Proposal
from easyrec.tune.advise.rules import Need, Rule
from easyrec.tune.advise.rules._rates import constant

PART, LEAST = 0.1, 0.0005
"""What the last evaluation adds, as a part of the whole gain and of the metric's size, from which on it is told."""


class StillRising(Rule):
    """The metric was still rising when training ended."""

    needs: ClassVar[Need] = "run"

    def look(self, evidence: Evidence) -> Iterator[Proposal]:
        """See the family's contract."""
        run, train = evidence.history, evidence.experiment.train
        if run is None or len(run) < 3 or run.best != len(run) - 1 or not constant(train) or run.crawling:
            return
        step = run.values[-1] - run.values[-2]
        if run.gain <= 0 or step < PART * run.gain or step < LEAST * abs(run.values[-1]):
            return
        settings: dict[str, Any] = {}
        if train.steps is not None:
            settings["train.steps"] = 2 * train.steps
        if train.epochs is not None or train.steps is None:
            settings["train.epochs"] = 2 * (train.epochs or 1)
        yield Proposal(
            "medium",
            next(iter(settings)),
            f"the last of {len(run)} evaluations was the best: {run.metric} rose by {step:.5f} to {abs(run.values[-1]):.5f} at epoch "
            f"{run.epochs[-1]:g}",
            "what more passes would have given is left lying",
            f"{step:.4f} to {3 * step:.4f} more, if the course goes on as before, for twice the time; with early_stop it ends by itself",
            settings,
        )
