"""`new_in_valid`: features whose values are all new when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from easyrec.tune.advise.evidence import Evidence
from easyrec.tune.advise.proposal import Proposal
from easyrec.tune.advise.rules import Need, Rule

KNOWN, NEW = 0.9, 0.5
"""Values of train that come again in train, and values of valid that train has not, from which on it is told."""


class NewInValid(Rule):
    """Values that come again and again in `train` do not come in `valid`: a date, a version, a session."""

    needs: ClassVar[Need] = "data"

    def look(self, evidence: Evidence) -> Iterator[Proposal]:
        """See the family's contract."""
        if evidence.valid is None:
            return
        for output in evidence.used:
            train, valid = evidence.train.ids(output), evidence.valid.ids(output)
            if train is None or valid is None or not len(train.values) or not len(valid.values):
                continue
            known, new = train.known, 1.0 - float(np.isin(valid.values, train.distinct).mean())
            if known < KNOWN or new < NEW:
                continue
            yield Proposal(
                "high" if new > 0.9 else "medium",
                evidence.spots[output].prefix,
                f"{known:.0%} of the values of train come again in train, but {new:.0%} of those of valid are new "
                f"({len(train.distinct):,} different values in {evidence.train.rows:,} rows)",
                "what is learned of values that are gone by the time of use explains rows of train alone",
                "training overfits less, and valid gains; what of it repeats (weekday, hour, age) may stay as a feature of its own",
                evidence.without(output),
                output,
            )
