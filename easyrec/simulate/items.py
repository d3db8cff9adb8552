"""The items of a world: what is known of them, and what draws people to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from easyrec.data.shop.draws import Draws, Floats, Ints, pick, rounded
from easyrec.simulate.clock import DAY_MS, Clock
from easyrec.simulate.config import WorldConfig

NUM_TOPICS = 8
_OWN = 0.6  # what an item has of its own beside its category, in directions of taste
_BRAND_SPREAD = 0.25
_CATEGORY_SPREAD = 0.2
_AGE_DAYS = 120.0  # of the oldest item at the start
_LOG_PRICE, _LOG_PRICE_SPREAD = 3.4, 0.8


@dataclass(frozen=True)
class Items:
    """Columns of the items, indexed by item_id.

    Attributes:
        cate: (n,) category.
        brand: (n,)
        price: (n,)
        log_price: (n,) standardised.
        birth: (n,) ms since the epoch; an item is there from then on.
        quality: (n,) what it adds to every click logit.
        vector: (n, 8) where it lies among tastes.
        peak_hour: (categories,) hour at which a category is most wanted.
        weekend: (categories,) what a weekend adds to its logit.
        wave: (categories, 2) phase and period, in days, of how a category comes and goes.
        trend: (2, categories) what a category adds before and after the shift.
    """

    cate: Ints
    brand: Ints
    price: Floats
    log_price: Floats
    birth: Ints
    quality: Floats
    vector: Floats
    peak_hour: Floats
    weekend: Floats
    wave: Floats
    trend: Floats

    def __len__(self) -> int:
        return len(self.cate)

    def live(self, time: int) -> int:
        """How many items there are at a time: the ids below this number."""
        return int(np.searchsorted(self.birth, time, side="right"))

    def table(self, time: int | None = None) -> pa.Table:
        """One row per item that is there at a time; by default all."""
        n = len(self) if time is None else self.live(time)
        return pa.table(
            {
                "item_id": np.arange(n),
                "cate": self.cate[:n],
                "brand": self.brand[:n],
                "price": self.price[:n],
                "birth_time": self.birth[:n],
            }
        )


def make_items(config: WorldConfig, clock: Clock) -> Items:
    """Draws the items of a world, those of later days included, by time of birth."""

    def draws(name: str) -> Draws:
        return Draws("simulate", 1, config.seed, "items", name)

    n, kinds = config.num_items, config.categories
    share = 1.0 / np.sqrt(np.arange(1, kinds + 1))
    cate = pick(np.cumsum(share), draws("cate").uniform(n))
    # A brand makes things of few categories, so that it says something of them.
    brand = (cate * 7 + pick(np.cumsum(1.0 / np.arange(1, 9)), draws("brand").uniform(n))) % config.brands
    log_price = 0.6 * draws("cate_price").normal(kinds)[cate] + 0.8 * draws("price").normal(n)
    old = clock.start - np.sort((1 + draws("age").uniform(config.items) * _AGE_DAYS * DAY_MS).astype(np.int64))[::-1]
    coming = np.arange(n - config.items)
    day, within = coming // max(config.new_items_per_day, 1), coming % max(config.new_items_per_day, 1)
    # At once when a day begins: that is when a catalogue is read again.
    new = clock.start + day * DAY_MS + 0 * within
    centre = draws("cate_vector").normal(kinds, NUM_TOPICS)
    centre /= np.sqrt((centre * centre).sum(axis=1, keepdims=True))
    own = draws("vector").normal(n, NUM_TOPICS) / np.sqrt(NUM_TOPICS)
    vector = (centre[cate] + _OWN * own) / np.sqrt(1.0 + _OWN**2)
    appeal = _BRAND_SPREAD * draws("brand_appeal").normal(config.brands)[brand] + np.sqrt(
        1.0 - _BRAND_SPREAD**2
    ) * draws("quality").normal(n)
    wave = np.stack([draws("phase").uniform(kinds), 10.0 + 20.0 * draws("period").uniform(kinds)], axis=1)
    return Items(
        cate=cate,
        brand=brand,
        price=rounded(np.exp(_LOG_PRICE + _LOG_PRICE_SPREAD * log_price), 2),
        log_price=log_price,
        birth=np.concatenate([old, new]).astype(np.int64),
        quality=config.quality * appeal,
        vector=rounded(vector),
        peak_hour=24.0 * draws("peak").uniform(kinds),
        weekend=0.3 * draws("weekend").normal(kinds),
        wave=wave,
        trend=_CATEGORY_SPREAD * draws("trend").normal(2, kinds),
    )
