"""`wide_numbers`: numbers that reach the model as they are, and are large."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from easyrec.tune.advise.evidence import Evidence
from easyrec.tune.advise.proposal import Proposal
from easyrec.tune.advise.rules import Need, Rule

LARGE = 30.0
"""Size that one in a hundred values exceeds from which on it is told."""


class WideNumbers(Rule):
    """A number without `normalizer` or `boundaries` is far from the size of what models reckon with."""

    needs: ClassVar[Need] = "data"

    def look(self, evidence: Evidence) -> Iterator[Proposal]:
        """See the family's contract."""
        for output, spec in evidence.used.items():
            numbers = evidence.train.numbers(output)
            if numbers is None or numbers.shape[1] != 1 or getattr(spec.config, "normalizer", "-"):
                continue
            values = numbers[np.isfinite(numbers[:, 0]), 0].astype(np.float64)
            if not len(values) or np.quantile(np.abs(values), 0.99) < LARGE:
                continue
            low, middle, high = np.quantile(values, [0.0, 0.5, 0.99])
            skewed = low >= 0 and high > 20 * max(middle, 1e-9)
            if skewed:
                normalizer = "method=expression,expr=log(x+1)"
            else:
                normalizer = f"method=zscore,mean={values.mean():.6g},standard_deviation={max(values.std(), 1e-6):.6g}"
            spot = evidence.spots[output]
            yield Proposal(
                "medium",
                spot.key("normalizer"),
                f"between {low:,.4g} and {values.max():,.4g}, half of them below {middle:,.4g}, and neither normalized nor in buckets",
                "embeddings are near 0.05 and other inputs near 1: the largest number rules the first layer, and its gradients all steps",
                "training becomes steadier and takes larger rates; as a rule a gain of AUC in the third digit, and boundaries "
                "(easyrec fg fit) often gain more",
                {} if len(spot.outputs) > 1 else {spot.key("normalizer"): normalizer},
                spot.outputs[0],
            )
