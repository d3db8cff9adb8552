"""The shop: a synthetic log of a recommendation feed whose true click probabilities are known.

docs/reference/shop.md describes the columns and the click model.
"""

from __future__ import annotations

import numpy as np

from easyrec.data.shop.balance import PILOT_ROWS, PLAIN, Balance, balanced
from easyrec.data.shop.behaviour import Events, Requests, make_organic, make_requests, sorted_events
from easyrec.data.shop.catalogue import NUM_ITEMS, category_table, make_catalogue
from easyrec.data.shop.effects import make_effects
from easyrec.data.shop.log import SCHEMA, SPLIT_DAYS, History, ShopData, Split
from easyrec.data.shop.simulation import Exposures, simulate
from easyrec.data.shop.users import make_users

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
    catalogue, users = make_catalogue(seed, size), make_users(seed)
    effects = make_effects(seed, users, catalogue)
    sessions, organic_clicks, organic_buys = make_organic(seed, size, users, catalogue)
    requests = make_requests(seed, size, rows, users, sessions)

    def log(requests: Requests, balance: Balance) -> tuple[Exposures, Events, Events]:
        return simulate(seed, size, users, catalogue, effects, requests, organic_clicks, balance)

    pilot, _, _ = log(make_requests(seed, size, PILOT_ROWS, users, sessions), PLAIN)
    exposures, clicks, buys = log(requests, balanced(pilot.terms, pilot.item, catalogue, effects))
    return ShopData(
        items=catalogue.item_table(),
        users=users.table(),
        categories=category_table(),
        catalogue=catalogue,
        population=users,
        requests=requests,
        exposures=exposures,
        clicks=History.of(_together(organic_clicks, clicks), requests),
        buys=History.of(_together(organic_buys, buys), requests),
    )


def _together(one: Events, other: Events) -> Events:
    return sorted_events(
        np.concatenate([one.user, other.user]),
        np.concatenate([one.time, other.time]),
        np.concatenate([one.item, other.item]),
    )
