"""`lopsided_buckets`: boundaries that divide nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from easyrec.tune.advise.evidence import Evidence
from easyrec.tune.advise.proposal import Proposal
from easyrec.tune.advise.rules import Need, Rule
from easyrec.tune.advise.seen import Seen

MOST, SINGLE, DIFFERENT = 0.9, 0.3, 5
"""Share of the largest bucket from which on it is told, share of its most frequent number up to which, and how many
different numbers it holds at least: one number that is frequent fills a bucket rightly."""
BUCKETS = 20


class LopsidedBuckets(Rule):
    """`boundaries` put nearly all numbers into one bucket."""

    needs: ClassVar[Need] = "data"

    def look(self, evidence: Evidence) -> Iterator[Proposal]:
        """See the family's contract."""
        for output, spec in evidence.used.items():
            config, ids = spec.config, evidence.train.ids(output)
            edges = getattr(config, "boundaries", None)
            if not edges or ids is None or config.type != "raw" or config.normalizer or spec.sequence is not None:
                continue
            numbers = _numbers(evidence.train, config.sources[0].name)
            if numbers is None or not len(numbers):
                continue
            place = np.searchsorted(np.asarray(edges), numbers, side="right")
            counts = np.bincount(place, minlength=len(edges) + 1)
            largest = int(counts.argmax())
            inside, often = np.unique(numbers[place == largest], return_counts=True)
            share = counts[largest] / len(numbers)
            if share < MOST or len(inside) < DIFFERENT or often.max() > SINGLE * len(numbers):
                continue
            new = _quantiles(numbers)
            spot = evidence.spots[output]
            yield Proposal(
                "medium",
                spot.key("boundaries"),
                f"{share:.0%} of the numbers, {len(inside):,} different ones, lie in one of {len(edges) + 1} buckets, from "
                f"{inside[0]:,.4g} to {inside[-1]:,.4g}",
                "numbers in one bucket are one to the model: it hardly sees the feature",
                "what the feature has to say is learned; how much that is shows on valid. easyrec fg fit learns such boundaries from "
                "all rows",
                {} if len(spot.outputs) > 1 or len(evidence.together(output)) > 1 else {spot.key("boundaries"): new},
                spot.outputs[0],
            )


def _numbers(part: Seen, column: str) -> np.ndarray | None:
    """The finite numbers of a raw column; None where it has none."""
    if column not in part.raw.column_names:
        return None
    kind = part.raw.schema.field(column).type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return None
    values = pc.cast(part.raw.column(column), pa.float64()).drop_null().to_numpy()
    return np.asarray(values[np.isfinite(values)], np.float64)


def _quantiles(numbers: np.ndarray) -> list[float]:
    """Edges between buckets of equally many numbers, in four digits."""
    edges = np.quantile(numbers, np.linspace(0, 1, BUCKETS + 1)[1:-1])
    rounded = np.unique(np.array([float(f"{edge:.4g}") for edge in edges], np.float32))
    return [float(f"{edge:.4g}") for edge in rounded]
