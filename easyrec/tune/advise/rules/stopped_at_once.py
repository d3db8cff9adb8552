"""`stopped_at_once`: early stops that begin at the first evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from easyrec.tune.advise.evidence import Evidence
from easyrec.tune.advise.proposal import Proposal
from easyrec.tune.advise.rules import Need, Rule
from easyrec.tune.advise.rules._rates import scaled


class StoppedAtOnce(Rule):
    """`early_stop` ended the training, and the first evaluation was the best."""

    needs: ClassVar[Need] = "run"

    def look(self, evidence: Evidence) -> Iterator[Proposal]:
        """See the family's contract."""
        run, train = evidence.history, evidence.experiment.train
        stop, every = train.early_stop, train.evaluate_every
        if run is None or stop is None or run.best != 0 or len(run) != stop.patience + 1:
            return
        unit = next(name for name in ("epochs", "steps", "seconds") if getattr(every, name) is not None)
        often = {unit: getattr(every, unit) / 4} if unit != "steps" else {unit: max(getattr(every, unit) // 4, 1)}
        yield Proposal(
            "medium",
            "train.evaluate_every",
            f"the first of {len(run)} evaluations was the best ({run.metric} {abs(run.values[0]):.5f}, then {abs(run.values[1]):.5f}), and "
            f"early_stop waits for {stop.patience}",
            "the best state lies before the first look at it, or rates are so large that there is nothing to wait for",
            "the best state is found, as a rule within 0.001 to 0.005 of AUC above; evaluations take more time",
            {"train.evaluate_every": often, **scaled(train, 0.5)},
        )
