"""The click and purchase model: a sum of named terms in logits.

docs/reference/shop.md states the formula; the constants below are its numbers before `balance.py` scales the terms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from easyrec.data.shop.catalogue import Catalogue
from easyrec.data.shop.draws import Floats, Ints
from easyrec.data.shop.effects import Effects
from easyrec.data.shop.users import Users

# Terms of the click logit, in the order in which they are summed.
TERMS = (
    "popularity", "freshness", "position", "request", "price", "taste",
    "age_x_cate", "city_x_brand", "hour_x_tag", "appetite", "fatigue",
)  # fmt: skip

POSITION = -0.8
SCENE = np.array([0.0, 0.5, -0.6])  # home, detail, cart
LEVEL = 0.08
EVENING = 0.2
PRICE = -0.2
PRICE_BY_LEVEL = 0.1
FRESH = 0.3
CLICKBAIT = 0.4
TASTE = 0.47
APPETITE = 1.4
APPETITE_HOURS = 6.0
FATIGUE = -1.0
FATIGUE_HOURS = 72.0

MIDDLE_LEVEL = 2.5
LOG_PRICE_MEAN = 3.9
LOG_PRICE_SPREAD = 0.9


@dataclass(frozen=True)
class Recent:
    """The latest clicks of each request's user, newest first.

    Attributes:
        item: (n, 32), -1 behind the oldest.
        hours: (n, 32) age at the request, infinite behind the oldest.
    """

    item: Ints
    hours: Floats


@dataclass(frozen=True)
class Shown:
    """Candidates of requests, (n, k), and what the requests share, (n,)."""

    item: Ints
    position: Ints
    user: Ints
    day: Ints
    exact_day: Floats
    hour: Ints
    scene: Ints


def click_terms(
    shown: Shown, recent: Recent, users: Users, catalogue: Catalogue, effects: Effects
) -> dict[str, Floats]:
    """Terms of the click logit by name, each (n, k)."""
    item, cate = shown.item, catalogue.cate[shown.item]
    day, user = shown.day[:, None], shown.user[:, None]
    taste = users.taste(shown.user, shown.exact_day) + effects.trend[shown.day]
    level = users.level[user] - MIDDLE_LEVEL
    price = (np.log(catalogue.price[item]) - LOG_PRICE_MEAN) / LOG_PRICE_SPREAD
    evening = np.cos(2.0 * np.pi * (shown.hour - 20) / 24)
    same_cate = catalogue.cate[recent.item][:, None, :] == cate[:, :, None]  # (n, k, 32)
    same_item = recent.item[:, None, :] == item[:, :, None]
    warmth = (same_cate * np.exp(-recent.hours / APPETITE_HOURS)[:, None, :]).sum(axis=2)
    seen = (same_item * np.exp(-recent.hours / FATIGUE_HOURS)[:, None, :]).max(axis=2)
    return {
        "popularity": effects.popularity[item] + CLICKBAIT * catalogue.clickbait[item],
        "freshness": FRESH * np.clip(1.0 - (day - catalogue.birth_day[item]) / 4.0, 0.0, 1.0),
        "position": POSITION * np.log(shown.position),
        "request": SCENE[shown.scene][:, None] + LEVEL * level + EVENING * evening[:, None] + 0.0 * item,
        "price": (PRICE + PRICE_BY_LEVEL * level) * price,
        "taste": TASTE * (taste[:, None, :] * catalogue.topic[cate // 10]).sum(axis=2),
        "age_x_cate": effects.age_x_cate[users.age_band[user], cate],
        "city_x_brand": effects.city_x_brand[users.city[user], catalogue.brand[item]],
        "hour_x_tag": effects.hour_x_tag[shown.hour[:, None], catalogue.moment[item]],
        "appetite": APPETITE * np.tanh(warmth),
        "fatigue": FATIGUE * seen,
    }


def summed(terms: Mapping[str, Floats]) -> Floats:
    """The terms, added in their order: the click logit without its bias."""
    logit = np.zeros_like(terms["taste"])
    for name in TERMS:
        logit += terms[name]
    return logit


def buying(terms: Mapping[str, Floats], item: Ints, catalogue: Catalogue, effects: Effects) -> Floats:
    """Logit of buying what was clicked, without its bias.

    It shares its causes with the click, so clicked rows are no fair sample.
    """
    return (
        0.6 * terms["taste"]
        + 0.6 * terms["appetite"]
        + 0.8 * effects.reputation[catalogue.brand[item]]
        + 1.5 * terms["price"]
        - 1.2 * catalogue.clickbait[item]
    )


def probability(logit: Floats) -> Floats:
    """Sigmoid on a grid of 1e-6: the last bit of exp differs between machines, the grid does not."""
    return np.round(1.0 / (1.0 + np.exp(-logit)), 6).astype(np.float32).astype(np.float64)
