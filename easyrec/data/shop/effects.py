"""Hidden coefficients of the click model: what the catalogue and the users never show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from easyrec.data.shop.catalogue import (
    DAYS,
    NUM_BRANDS,
    NUM_CATES,
    NUM_HEAD_BRANDS,
    NUM_PARENTS,
    NUM_SECTIONS,
    Catalogue,
)
from easyrec.data.shop.draws import Draws, Floats, rounded
from easyrec.data.shop.users import AGES, NUM_CITIES, NUM_TOPICS, Users
from easyrec.data.shop.words import MOMENT_TAGS

CATE_SPREAD = 0.30
BRAND_SPREAD = 0.2
QUALITY_SPREAD = 0.12
CROSS = {"age_x_cate": 0.85, "city_x_brand": 0.9, "hour_x_tag": 0.85}
TIERS = np.array([8, 50])  # cities 0-7 hold 43 % of the users, 8-49 and the others 28 % each
_TREND_SPREAD = 0.12


@dataclass(frozen=True)
class Effects:
    """Coefficients in logits.

    Attributes:
        popularity: (items,) category + brand + the item's own quality.
        reputation: (2000,) part of `popularity` that comes from the brand; also a reason to buy.
        trend: (31, 2) taste that all users share, drifting with the days.
        age_x_cate: (8, 200) rows are age bands.
        city_x_brand: (300, 2000), zero for brands without a regional following.
        hour_x_tag: (24, 9) over MOMENT_TAGS, and a column of zeros for items without one.
    """

    popularity: Floats
    reputation: Floats
    trend: Floats
    age_x_cate: Floats
    city_x_brand: Floats
    hour_x_tag: Floats


def make_effects(seed: int, users: Users, catalogue: Catalogue) -> Effects:
    """Draws the coefficients of a seed. Crosses are a constant where both sides match, else 0."""

    def draws(name: str) -> Draws:
        return Draws("shop", 1, seed, "effects", name)

    per_section = NUM_BRANDS // NUM_SECTIONS
    brand_rank = np.arange(NUM_BRANDS) % per_section
    head = brand_rank < NUM_HEAD_BRANDS // NUM_SECTIONS

    cate = _standard(draws("cate").normal(NUM_CATES), CATE_SPREAD)
    reputation = np.where(head, _standard(draws("brand").normal(NUM_BRANDS), BRAND_SPREAD), 0.0)
    quality = QUALITY_SPREAD * draws("quality").normal(len(catalogue))

    day = np.arange(DAYS + 1)[:, None]
    phase = 2.0 * np.pi * draws("trend").uniform(NUM_TOPICS)
    trend = _TREND_SPREAD * np.sqrt(2.0) * np.sin(2.0 * np.pi * day / (2 * DAYS) + phase)

    # Half of the parents appeal to one stage of life; head brands to one region; every moment has its hours.
    stage = (np.arange(len(AGES)) >= 3).astype(np.int64)
    order = np.argsort(draws("stage").uniform(NUM_PARENTS), kind="stable")
    appeal = np.full(NUM_PARENTS, -1)
    appeal[order[: NUM_PARENTS // 2]] = np.arange(NUM_PARENTS // 2) % 2
    leaf_appeal = np.repeat(appeal, NUM_CATES // NUM_PARENTS)
    region = np.searchsorted(TIERS, np.arange(NUM_CITIES), side="right")
    home = np.where(head, np.floor(draws("home").uniform(NUM_BRANDS) * 3), -1)
    part = np.array([3] * 5 + [0] * 5 + [1] * 6 + [2] * 5 + [3] * 3)
    moment = np.arange(len(MOMENT_TAGS)) // 2
    return Effects(
        popularity=rounded(cate[catalogue.cate] + reputation[catalogue.brand] + quality, 6),
        reputation=rounded(reputation, 6),
        trend=rounded(trend, 6),
        age_x_cate=CROSS["age_x_cate"] * (stage[:, None] == leaf_appeal),
        city_x_brand=CROSS["city_x_brand"] * (region[:, None] == home),
        hour_x_tag=CROSS["hour_x_tag"] * (part[:, None] == np.append(moment, -1)),
    )


def _standard(values: Floats, spread: float) -> Floats:
    scaled: Floats = spread * (values - values.mean()) / values.std()
    return scaled
