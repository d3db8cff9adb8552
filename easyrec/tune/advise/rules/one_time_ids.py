"""`one_time_ids`: ids that do not come again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from easyrec.tune.advise.counting import least_spread
from easyrec.tune.advise.evidence import Evidence
from easyrec.tune.advise.proposal import Proposal
from easyrec.tune.advise.rules import Need, Rule

LEAST_ROWS = 1000


class OneTimeIds(Rule):
    """Nearly every row has an id of its own, which no other row has."""

    needs: ClassVar[Need] = "data"

    def look(self, evidence: Evidence) -> Iterator[Proposal]:
        """See the family's contract."""
        part = evidence.train
        if part.total is None or part.rows < LEAST_ROWS:
            return
        for output, spec in evidence.used.items():
            ids = part.ids(output)
            if ids is None or spec.sequence is not None or len(ids.values) != part.rows or not ids.single:
                continue
            spread = least_spread(ids.counts)
            table = evidence.table(output)
            yield Proposal(
                "medium",
                evidence.spots[output].prefix,
                f"{len(ids.distinct):,} different values in {part.rows:,} rows; at this rate there are {spread:,.0f} or more in the "
                f"{part.total:,} rows of train",
                "an embedding that is learned from one row is that row learned by heart, and noise for any other",
                "training overfits less, as a rule a gain in the third digit of AUC from the second epoch on"
                + ("" if table is None else f"; {table.bytes / 1e6:,.1f} MB of weights less"),
                evidence.without(output),
                output,
            )
