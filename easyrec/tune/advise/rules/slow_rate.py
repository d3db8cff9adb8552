"""`slow_rate`: trainings that have hardly begun when they end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from easyrec.tune.advise.evidence import Evidence
from easyrec.tune.advise.proposal import Proposal
from easyrec.tune.advise.rules import Need, Rule
from easyrec.tune.advise.rules._rates import scaled


class SlowRate(Rule):
    """The learning rate is too small: the loss hardly falls, and the metric rises as fast at the end as at the beginning."""

    needs: ClassVar[Need] = "run"

    def look(self, evidence: Evidence) -> Iterator[Proposal]:
        """See the family's contract."""
        run, train = evidence.history, evidence.experiment.train
        if run is None or not run.crawling:
            return
        mean = run.gain / (len(run) - 1)
        yield Proposal(
            "medium",
            "train.dense_optimizer.lr",
            f"in {len(run)} evaluations the loss of training went from {run.losses[0]:.4f} to {run.losses[-1]:.4f}, and {run.metric} rose by "
            f"{mean:.5f} at each, the last one included ({run.values[-1] - run.values[-2]:.5f}); rates {train.dense_optimizer.lr:g} and "
            f"{train.sparse_optimizer.lr:g}",
            "so even a course says that steps are too short to come anywhere",
            "the same metric in about a third of the steps, and most likely a better one at the end; a rate that is too large shows in the "
            "first evaluations",
            scaled(train, 3.0),
        )
