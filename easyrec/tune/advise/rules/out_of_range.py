"""`out_of_range`: numbers beyond `num_buckets`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from easyrec.tune.advise.counting import round_up
from easyrec.tune.advise.evidence import Evidence
from easyrec.tune.advise.proposal import Proposal
from easyrec.tune.advise.rules import Need, Rule

OUTSIDE = 0.001
"""Share of values from which on it is told."""
MOST = 200_000_000
"""Numbers above this are none that count things: they are hashed."""


class OutOfRange(Rule):
    """Ids lie outside of `num_buckets`."""

    needs: ClassVar[Need] = "data"

    def look(self, evidence: Evidence) -> Iterator[Proposal]:
        """See the family's contract."""
        if evidence.experiment.generator.mode == "encoded":
            return
        for output, spec in evidence.used.items():
            buckets, ids = getattr(spec.config, "num_buckets", None), evidence.train.ids(output)
            if buckets is None or ids is None or not len(ids.values):
                continue
            share, largest = float((ids.values >= buckets).mean()), int(ids.distinct[-1])
            if share < OUTSIDE:
                continue
            outside, spot = int((ids.distinct >= buckets).sum()), evidence.spots[output]
            if largest < MOST:
                settings = evidence.on_all(output, "num_buckets", largest + 1)
            else:
                size = round_up(5 * len(np.unique(ids.distinct)))
                settings = {
                    **evidence.on_all(output, "num_buckets", None),
                    **evidence.on_all(output, "hash_bucket_size", size),
                }
            yield Proposal(
                "high" if share > 0.1 else "medium",
                spot.key("num_buckets"),
                f"{share:.1%} of the values, {outside:,} different ones, lie outside of 0 .. {buckets - 1:,}; the largest is "
                f"{largest:,}",
                "they become the default, or nothing: the model cannot tell them apart",
                f"{outside:,} ids and more learn an embedding; the gain grows with their share of the rows",
                settings,
                spot.outputs[0],
            )
