"""Hidden coefficients of the click model: what the catalogue and the users never show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from easyrec.data.shop.behaviour import HOUR_SHARE
from easyrec.data.shop.catalogue import (
    DAYS,
    NUM_BRANDS,
    NUM_CATES,
    NUM_HEAD_BRANDS,
    NUM_PARENTS,
    NUM_TOPICS,
    Catalogue,
)
from easyrec.data.shop.draws import Draws, Floats
from easyrec.data.shop.users import AGES, NUM_CITIES, Users
from easyrec.data.shop.words import MOMENT_TAGS

CATE_SPREAD = 0.40
BRAND_SPREAD = 0.30
QUALITY_SPREAD = 0.22
CROSS_SPREAD = {"age_x_cate": 0.36, "city_x_brand": 0.36, "hour_x_tag": 0.36}
_TREND_SPREAD = 0.12
_REGIONS = 6


@dataclass(frozen=True)
class Effects:
    """Coefficients in logits.

    Attributes:
        popularity: (items,) category + brand + the item's own quality.
        reputation: (2000,) part of `popularity` that comes from the brand; also a reason to buy.
        trend: (31, 10) appeal of each topic by day, drifting slowly.
        age_x_cate: (8, 200) rows are age bands.
        city_x_brand: (300, 2000), zero for brands without a regional following.
        hour_x_tag: (24, 21) over MOMENT_TAGS, and a column of zeros for items without one.
    """

    popularity: Floats
    reputation: Floats
    trend: Floats
    age_x_cate: Floats
    city_x_brand: Floats
    hour_x_tag: Floats


def make_effects(seed: int, users: Users, catalogue: Catalogue) -> Effects:
    """Draws the coefficients of a seed. Every table has mean zero over what the shop shows."""

    def draws(name: str) -> Draws:
        return Draws("shop", 1, seed, "effects", name)

    per_brand_topic = NUM_BRANDS // NUM_TOPICS
    brand_rank = np.arange(NUM_BRANDS) % per_brand_topic
    head = brand_rank < NUM_HEAD_BRANDS // NUM_TOPICS

    cate = _standard(draws("cate").normal(NUM_CATES), CATE_SPREAD)
    reputation = np.where(head, _standard(draws("brand").normal(NUM_BRANDS), BRAND_SPREAD), 0.0)
    quality = QUALITY_SPREAD * draws("quality").normal(len(catalogue))

    day = np.arange(DAYS + 1)[:, None]
    phase = 2.0 * np.pi * draws("trend").uniform(NUM_TOPICS)
    trend = _TREND_SPREAD * np.sqrt(2.0) * np.sin(2.0 * np.pi * day / (2 * DAYS) + phase)

    bands = np.pi * np.arange(len(AGES)) / (len(AGES) - 1)
    parents = 2.0 * np.pi * draws("age parent").uniform(NUM_PARENTS)
    leaves = np.repeat(parents, NUM_CATES // NUM_PARENTS) + 0.6 * draws("age leaf").normal(NUM_CATES)
    age_share = np.bincount(users.age_band, minlength=len(AGES))

    cities = 2.0 * np.pi * np.floor(draws("region").uniform(NUM_CITIES) * _REGIONS) / _REGIONS
    homes = 2.0 * np.pi * draws("home").uniform(NUM_BRANDS)
    city_share = np.bincount(users.city, minlength=NUM_CITIES)

    hours = 2.0 * np.pi * np.arange(24) / 24
    moments = 2.0 * np.pi * (np.arange(len(MOMENT_TAGS)) / len(MOMENT_TAGS) + 0.25)
    hour_x_tag = _cross(hours, moments, HOUR_SHARE, np.ones(len(MOMENT_TAGS)), CROSS_SPREAD["hour_x_tag"])
    return Effects(
        popularity=np.round(cate[catalogue.cate] + reputation[catalogue.brand] + quality, 6),
        reputation=np.round(reputation, 6),
        trend=np.round(trend, 6),
        age_x_cate=_cross(bands, leaves, age_share, catalogue.leaf_weight, CROSS_SPREAD["age_x_cate"]),
        city_x_brand=_cross(cities, homes, city_share, head / (brand_rank + 1.0), CROSS_SPREAD["city_x_brand"]),
        hour_x_tag=np.concatenate([hour_x_tag, np.zeros((24, 1))], axis=1),
    )


def _standard(values: Floats, spread: float) -> Floats:
    return spread * (values - values.mean()) / values.std()


def _cross(row_angle: Floats, column_angle: Floats, row_share: Floats, column_share: Floats, spread: float) -> Floats:
    """``spread * cos(row - column)``, centred so that rows and columns alone say nothing.

    Shares weigh the rows and columns; a column of share zero gets zeros. The result has
    weighted standard deviation ``spread`` and is of low rank, so embeddings can learn it.
    """
    rows, columns = row_share / row_share.sum(), column_share / column_share.sum()
    table = np.cos(row_angle[:, None] - column_angle[None, :])
    table -= (table * columns).sum(axis=1, keepdims=True)
    table -= (table * rows[:, None]).sum(axis=0)
    deviation = np.sqrt(((table**2 * columns).sum(axis=1) * rows).sum())
    return np.round(np.where(columns > 0, table * (spread / deviation), 0.0), 6)
