"""`spare_rows`: tables with rows that no value has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from easyrec.tune.advise.counting import round_up
from easyrec.tune.advise.evidence import Evidence
from easyrec.tune.advise.proposal import Proposal
from easyrec.tune.advise.rules import Need, Rule

LEAST_BYTES = 16 << 20
"""Tables below this are left alone."""
SPARE = 20
"""Rows per value from which on it is told."""


class SpareRows(Rule):
    """A large table has many times the rows that values use."""

    needs: ClassVar[Need] = "data"

    def look(self, evidence: Evidence) -> Iterator[Proposal]:
        """See the family's contract."""
        for output, spec in evidence.used.items():
            ids, table = evidence.train.ids(output), evidence.table(output)
            if ids is None or table is None or not len(ids.distinct) or table.bytes < LEAST_BYTES:
                continue
            if spec.dynamic is not None or len(evidence.together(output)) > 1:
                continue
            if getattr(spec.config, "hash_bucket_size", None) is not None:
                key, needed, known = "hash_bucket_size", 5 * ids.likely, ids.known > 0.999
                told = f"about {ids.likely:,.0f} different values, and hardly a new one in the last rows"
            elif getattr(spec.config, "num_buckets", None) is not None:
                key, needed, known = "num_buckets", 2.0 * (int(ids.distinct[-1]) + 1), len(ids.values) >= 1000
                told = f"no number above {ids.distinct[-1]:,}"
            else:
                continue
            if not known or table.rows < SPARE * needed:
                continue
            new = round_up(needed)
            yield Proposal(
                "low",
                evidence.spots[output].key(key),
                f"{table.rows:,} rows, but {told} in {evidence.train.rows:,} rows of train",
                "rows without values take memory, in the bundle too, and their optimizer's state takes as much again",
                f"{(table.bytes - 4 * table.dim * new) / 1e6:,.0f} MB of weights less; the same quality, if values to come are "
                "like those of today",
                {evidence.spots[output].key(key): new},
                output,
            )
