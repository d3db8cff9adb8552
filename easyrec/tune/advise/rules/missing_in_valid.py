"""`missing_in_valid`: features that one part of the data lacks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from easyrec.tune.advise.evidence import Evidence
from easyrec.tune.advise.proposal import Proposal
from easyrec.tune.advise.rules import Need, Rule

APART = 0.5
"""Difference of the shares of rows without a value from which on it is told."""


class MissingInValid(Rule):
    """A feature has values in `train` and none in `valid`, or the other way round."""

    needs: ClassVar[Need] = "data"

    def look(self, evidence: Evidence) -> Iterator[Proposal]:
        """See the family's contract."""
        if evidence.valid is None:
            return
        for output in evidence.used:
            if evidence.train.ids(output) is None or evidence.valid.ids(output) is None:
                continue
            train, valid = evidence.train.empty(output), evidence.valid.empty(output)
            if abs(train - valid) < APART:
                continue
            yield Proposal(
                "high",
                evidence.spots[output].prefix,
                f"{train:.0%} of the rows of train have no value, of valid {valid:.0%}",
                "the model learns to lean on what is not there when it is asked, as a rule since a column is filled later or is "
                "called otherwise",
                "valid tells what serving will be like; better than without the feature is only one whose column is mended",
                evidence.without(output),
                output,
            )
