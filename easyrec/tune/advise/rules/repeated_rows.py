"""`repeated_rows`: rows of `valid` that are in `train` too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from easyrec.tune.advise.evidence import Evidence
from easyrec.tune.advise.proposal import Proposal
from easyrec.tune.advise.rules import Need, Rule

BOTH, LEAST = 0.02, 20
"""Share and number of valid's rows from which on it is told."""


class RepeatedRows(Rule):
    """Rows of `valid` are in `train` too."""

    needs: ClassVar[Need] = "data"

    def look(self, evidence: Evidence) -> Iterator[Proposal]:
        """See the family's contract."""
        train, valid = evidence.train, evidence.valid
        if valid is None or set(train.raw.column_names) != set(valid.raw.column_names):
            return
        order = train.raw.column_names
        if valid.raw.column_names != order:
            return
        ours, _counts = np.unique(train.hashes, return_counts=True)
        found = int(np.isin(valid.hashes, ours).sum())
        twice = 1.0 - len(ours) / train.rows  # rows that repeat an earlier one of train
        share, of = found / valid.rows, train.share
        likely = share if of is None else min(1.0, share / of)
        if found < LEAST or likely < BOTH or share < 3 * twice:
            return
        guessed = "" if of is None or of > 0.99 else f", of all rows about {likely:.0%}"
        clock = train.clock
        remedy = (
            "divide by time (data.split), or take them out of one of the parts"
            if clock
            else "take them out of one of the parts"
        )
        yield Proposal(
            "high",
            "data.valid",
            f"{found:,} of {valid.rows:,} rows of valid are among {train.rows:,} rows of train, in every column that is read{guessed}; "
            f"in train {twice:.1%} repeat another one",
            "what was learned by heart counts as understood: metrics are too good, and early stop comes too late",
            f"metrics fall to what they are on rows that are new. No setting does that: {remedy}",
        )
