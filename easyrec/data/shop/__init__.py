"""The shop: a synthetic log of a recommendation feed whose true click probabilities are known.

docs/reference/shop.md describes the columns and the click model.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from easyrec.data.shop.balance import PILOT_ROWS, PLAIN, Balance, balanced
from easyrec.data.shop.behaviour import Events, Requests, Sessions, make_organic, make_requests, sorted_events
from easyrec.data.shop.catalogue import NUM_ITEMS, Catalogue, category_table, make_catalogue
from easyrec.data.shop.effects import Effects, make_effects
from easyrec.data.shop.log import SCHEMA, SPLIT_DAYS, History, ShopData, Split
from easyrec.data.shop.simulation import Exposures, simulate
from easyrec.data.shop.users import Users, make_users

__all__ = ["MAX_ROWS", "SCHEMA", "SPLIT_DAYS", "ShopData", "Split", "generate"]

MAX_ROWS = 50_000_000


def generate(rows: int, seed: int, size: str = "small", version: int = 1) -> ShopData:
    """The shop of a seed: 20,000 users, 30 days, ``rows`` exposures in total.

    The same arguments give the same bytes on every machine. ``rows`` sets how much is
    logged; the users and what they do outside the feed stay the same.

    Args:
        rows: Exposures in all 30 days, 1 to 50 million.
        seed: Any integer; other seeds give other users, items and effects of the same kind.
        size: "small" (10,000 items) or "large" (100,000 items).
        version: Of the generator; 1 is the only one.

    Raises:
        ValueError: An argument is out of range.
    """
    if not 1 <= rows <= MAX_ROWS:
        raise ValueError(f"rows must be 1 to {MAX_ROWS:,}, not {rows:,}")
    if size not in NUM_ITEMS:
        raise ValueError(f"size must be one of {', '.join(NUM_ITEMS)}, not {size!r}")
    if version != 1:
        raise ValueError(f"version must be 1, not {version}")
    town = _town(seed, size)
    requests = make_requests(seed, size, rows, town.users, town.sessions)
    exposures, clicks, buys = town.log(requests, town.balance)
    return ShopData(
        items=town.catalogue.item_table(),
        users=town.users.table(),
        categories=category_table(),
        catalogue=town.catalogue,
        population=town.users,
        requests=requests,
        exposures=exposures,
        clicks=History.of(_together(town.clicks, clicks), requests),
        buys=History.of(_together(town.buys, buys), requests),
    )


@dataclass(frozen=True)
class _Town:
    """What is the same however much is logged."""

    seed: int
    size: str
    catalogue: Catalogue
    users: Users
    effects: Effects
    sessions: Sessions
    clicks: Events
    buys: Events

    def log(self, requests: Requests, balance: Balance) -> tuple[Exposures, Events, Events]:
        """What is shown, clicked and bought."""
        return simulate(self.seed, self.size, self.users, self.catalogue, self.effects, requests, self.clicks, balance)

    @cached_property
    def balance(self) -> Balance:
        """That of a pilot."""
        pilot, _, _ = self.log(make_requests(self.seed, self.size, PILOT_ROWS, self.users, self.sessions), PLAIN)
        return balanced(pilot.terms, pilot.item, self.catalogue, self.effects)


@lru_cache(maxsize=2)
def _town(seed: int, size: str) -> _Town:
    """It takes most of the time of a small log: logs of one seed share it."""
    catalogue, users = make_catalogue(seed, size), make_users(seed)
    organic = make_organic(seed, size, users, catalogue)
    return _Town(seed, size, catalogue, users, make_effects(seed, users, catalogue), *organic)


def _together(one: Events, other: Events) -> Events:
    return sorted_events(
        np.concatenate([one.user, other.user]),
        np.concatenate([one.time, other.time]),
        np.concatenate([one.item, other.item]),
    )
