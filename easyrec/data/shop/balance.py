"""Scales the terms of the click model, so that every seed gives a shop of the same difficulty.

A few categories, brands and cities carry most exposures, so what a term weighs hangs on the draw of those few. A pilot
log measures it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from easyrec.data.shop.catalogue import Catalogue
from easyrec.data.shop.draws import Floats
from easyrec.data.shop.effects import Effects
from easyrec.data.shop.labels import TERMS, buying, summed

PILOT_ROWS = 60_000
BEST_AUC = 0.822
CLICK_RATE = 0.08
BUY_RATE = 0.10  # of clicks

# Standard deviations of the terms over exposures, up to one factor common to all.
SPREAD = {
    "popularity": 0.42, "freshness": 0.08, "position": 0.70, "request": 0.55, "price": 0.36, "taste": 0.34,
    "age_x_cate": 0.44, "city_x_brand": 0.28, "hour_x_tag": 0.28, "appetite": 0.40, "fatigue": 0.10,
}  # fmt: skip


@dataclass(frozen=True)
class Balance:
    """Factors of the terms, and the biases of both logits."""

    factors: Mapping[str, float]
    click_bias: float
    buy_bias: float

    def scaled(self, terms: Mapping[str, Floats]) -> dict[str, Floats]:
        """The terms, each times its factor."""
        return {name: self.factors[name] * terms[name] for name in TERMS}


PLAIN = Balance(dict.fromkeys(TERMS, 1.0), click_bias=-3.6, buy_bias=-3.3)
"""What the pilot runs with."""


def balanced(
    terms: Mapping[str, npt.NDArray[np.float32]], item: npt.NDArray[np.int32], catalogue: Catalogue, effects: Effects
) -> Balance:
    """The balance that gives a log like the pilot the AUC and rates above.

    Args:
        terms: (rows,) each, of a pilot that ran with `PLAIN`.
        item: (rows,) what the pilot showed.
        catalogue: The items.
        effects: The hidden coefficients.
    """
    plain: dict[str, Floats] = {name: terms[name].astype(np.float64) for name in TERMS}
    even = {name: SPREAD[name] / plain[name].std() for name in TERMS}
    logit = summed({name: even[name] * plain[name] for name in TERMS})

    def excess(factor: float) -> float:
        return expected_auc(_sigmoid(factor * logit + _bias(factor * logit, CLICK_RATE))) - BEST_AUC

    common = _root(excess, 0.5, 2.0)
    found = Balance({name: round(common * even[name], 3) for name in TERMS}, 0.0, 0.0)
    scaled = found.scaled(plain)
    click_bias = _bias(summed(scaled), CLICK_RATE)
    wish = buying(scaled, item.astype(np.int64), catalogue, effects)
    buy_bias = _bias(wish, BUY_RATE, _sigmoid(summed(scaled) + click_bias))
    return Balance(found.factors, round(click_bias, 3), round(buy_bias, 3))


def expected_auc(chance: Floats) -> float:
    """AUC of chances (n,) as scores of labels drawn from them: P(chance of a click > chance of a pass)."""
    click = np.sort(chance)
    passed = 1.0 - click
    won = (click * (np.cumsum(passed) - passed)).sum()
    return float(won / (click.sum() * passed.sum() - (click * passed).sum()))


def _bias(logit: Floats, rate: float, weight: Floats | None = None) -> float:
    """What to add for a mean chance of `rate`."""
    return _root(lambda bias: float(np.average(_sigmoid(logit + bias), weights=weight)) - rate, -12.0, 6.0)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a rising function crosses 0, to 1e-5."""
    while high - low > 1e-5:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if function(middle) < 0 else (low, middle)
    return 0.5 * (low + high)


def _sigmoid(logit: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-logit))
