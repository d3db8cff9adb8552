"""`small_buckets`: hashes that many values share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from easyrec.tune.advise.counting import round_up, shared_buckets
from easyrec.tune.advise.evidence import Evidence
from easyrec.tune.advise.proposal import Proposal
from easyrec.tune.advise.rules import Need, Rule

SHARED = 0.4
"""Share of values in a bucket with others from which on it is told."""
ROOM = 5
"""Buckets per value that are proposed: a sixth of the values share one."""


class SmallBuckets(Rule):
    """`hash_bucket_size` is too small for the values that there are."""

    needs: ClassVar[Need] = "data"

    def look(self, evidence: Evidence) -> Iterator[Proposal]:
        """See the family's contract."""
        if evidence.experiment.generator.mode == "encoded":
            return
        for output, spec in evidence.used.items():
            buckets, ids = getattr(spec.config, "hash_bucket_size", None), evidence.train.ids(output)
            if buckets is None or ids is None or not len(ids.distinct) or ids.single:
                continue
            seen, likely = len(ids.distinct), ids.likely
            if shared_buckets(seen, buckets) < SHARED and shared_buckets(likely, 2 * buckets) < SHARED:
                continue
            new, table = round_up(ROOM * likely), evidence.table(output)
            more = 0 if table is None else 4 * table.dim * (new - buckets)
            share = shared_buckets(seen, buckets)
            yield Proposal(
                "high" if share > 0.8 else "medium",
                evidence.spots[output].key("hash_bucket_size"),
                f"{seen:,} different values in {evidence.train.rows:,} rows, of all rows about {likely:,.0f} or more, in "
                f"{buckets:,} buckets: {share:.0%} of those seen share one",
                "values in one bucket have one embedding, and frequent ones drown the others",
                f"{shared_buckets(likely, new):.0%} share a bucket; as a rule a gain of AUC in the third or fourth digit, more "
                f"where the feature matters; {more / 1e6:,.1f} MB more of weights",
                evidence.on_all(output, "hash_bucket_size", new),
                evidence.spots[output].outputs[0],
            )
