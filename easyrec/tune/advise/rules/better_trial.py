"""`better_trial`: searches whose best point the config does not have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from easyrec.config.space import is_space
from easyrec.tune.advise.evidence import Evidence
from easyrec.tune.advise.proposal import Proposal
from easyrec.tune.advise.rules import Need, Rule
from easyrec.tune.advise.searched import at
from easyrec.tune.study import differences


class BetterTrial(Rule):
    """A search has found better settings than the config has."""

    needs: ClassVar[Need] = "study"

    def look(self, evidence: Evidence) -> Iterator[Proposal]:
        """See the family's contract."""
        found = evidence.searched
        if found is None:
            return
        values, best = found.trials[0]
        middle = found.trials[len(found.trials) // 2][1]
        places = {parameter.name: parameter.path for parameter in found.search.parameters}
        if any(is_space(at(evidence.written, place)) for place in places.values()):
            return  # it is to be searched, not to be trained
        settings = {n: v for n, v in found.settings(values).items() if differences(at(evidence.written, places[n]), v)}
        run = evidence.history
        own = run.values[run.best] if run is not None and run.metric == found.objective.name else None
        sign = 1.0 if found.objective.higher_is_better else -1.0
        if not settings or (own is not None and own >= sign * best):
            return
        told = "" if own is None else f", and the run of this config {abs(own):.5f}"
        yield Proposal(
            "medium",
            next(iter(settings)),
            f"the best of {len(found.trials)} trials of {found.path} has {found.objective.name} {best:.5f}, the middle one {middle:.5f}{told}",
            f"the config has other values than it: {', '.join(settings)}",
            f"{found.objective.name} near {best:.5f} on valid, less by the luck that the best of {len(found.trials)} has had; test tells",
            settings,
        )
