"""Runs the feed: candidates, page order, clicks and purchases, request after request.

A click changes what its user does next and nobody else, so the n-th requests of all users
are simulated together: as many rounds as the busiest user has requests, each vectorised.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from easyrec.data.shop.balance import Balance
from easyrec.data.shop.behaviour import DAY, MAX_EXPOSURES, START, Events, Requests, sorted_events
from easyrec.data.shop.catalogue import Catalogue
from easyrec.data.shop.draws import Draws, Floats, Ints
from easyrec.data.shop.effects import Effects
from easyrec.data.shop.labels import TERMS, Recent, Shown, buying, click_terms, probability, summed
from easyrec.data.shop.users import NUM_USERS, Users

NUM_RECENT = 32  # clicks that the appetite and fatigue terms look at
TASTE_IN_FEED = 0.7  # strength of taste in the channel that knows it
_SLOTS = 14  # candidates drawn for a page before duplicates go
_ROUND = 4_096  # requests of a step, so that its arrays stay in the cache
_LONG_AGO = START - 10_000 * DAY
# Where candidates come from: running shares of recent leaf, recent item, taste, popular, any item, new item.
_CHANNELS = np.cumsum([0.28, 0.06, 0.28, 0.28, 0.06, 0.04])


@dataclass(frozen=True)
class Exposures:
    """Columns of the log, one value per exposure, in the order of requests and positions."""

    request: Ints
    item: npt.NDArray[np.int32]
    position: npt.NDArray[np.int8]
    click: npt.NDArray[np.int8]
    buy: npt.NDArray[np.int8]
    p_click: npt.NDArray[np.float32]
    p_buy: npt.NDArray[np.float32]
    p_buy_all: npt.NDArray[np.float32]
    p_click_position_1: npt.NDArray[np.float32]
    terms: dict[str, npt.NDArray[np.float32]]


class _Latest:
    """The newest clicks of every user: those outside the feed, and those of the rounds so far."""

    def __init__(self, organic: Events) -> None:
        self._organic = organic
        self._item = np.full((NUM_USERS, NUM_RECENT), -1, dtype=np.int64)
        self._time = np.full((NUM_USERS, NUM_RECENT), _LONG_AGO, dtype=np.int64)
        self._count = np.zeros(NUM_USERS, dtype=np.int64)

    def before(self, user: Ints, time: Ints) -> tuple[Ints, Ints, Recent]:
        """Item and time (n, 32) of the clicks before a time, newest first, and the same with ages."""
        start, end = self._organic.before(user, time)
        place = end[:, None] - 1 - np.arange(NUM_RECENT)
        known = place >= start[:, None]
        place = np.maximum(place, 0)
        items = np.concatenate([np.where(known, self._organic.item[place], -1), self._item[user]], axis=1)
        times = np.concatenate([np.where(known, self._organic.time[place], _LONG_AGO), self._time[user]], axis=1)
        newest = np.argsort(-times, axis=1, kind="stable")[:, :NUM_RECENT]
        items, times = np.take_along_axis(items, newest, axis=1), np.take_along_axis(times, newest, axis=1)
        hours = np.where(items >= 0, (time[:, None] - times) / 3_600.0, np.inf)
        return items, times, Recent(items, hours)

    def add(self, user: Ints, time: Ints, item: Ints) -> None:
        """Clicks in order of time, those of one user side by side."""
        nth = np.arange(len(user)) - np.searchsorted(user, user, side="left") if len(user) else user
        place = (self._count[user] + nth) % NUM_RECENT
        self._item[user, place] = item
        self._time[user, place] = time
        np.add.at(self._count, user, 1)


def simulate(
    seed: int,
    size: str,
    users: Users,
    catalogue: Catalogue,
    effects: Effects,
    requests: Requests,
    organic: Events,
    balance: Balance,
) -> tuple[Exposures, Events, Events]:
    """The log, and the clicks and purchases in it."""
    log = _Log(seed, size, requests, balance)
    latest = _Latest(organic)
    pages = _Pages(seed, size, users, catalogue)
    by_ordinal = np.lexsort((requests.user, requests.ordinal))
    rounds = np.searchsorted(requests.ordinal[by_ordinal], np.arange(requests.ordinal.max() + 2))
    for first, last in zip(rounds[:-1].tolist(), rounds[1:].tolist(), strict=True):
        for start in range(first, last, _ROUND):
            ids = by_ordinal[start : min(start + _ROUND, last)]
            user, time = requests.user[ids], requests.time[ids]
            items, _, recent = latest.before(user, time)
            exact_day = (time - START) / DAY + 1.0
            shown = Shown(
                item=pages.fill(ids, user, requests.day[ids], exact_day, items),
                position=np.arange(1, MAX_EXPOSURES + 1)[None, :],
                user=user,
                day=requests.day[ids],
                exact_day=exact_day,
                hour=requests.hour[ids],
                scene=requests.scene[ids],
            )
            terms = balance.scaled(click_terms(shown, recent, users, catalogue, effects))
            clicked = log.write(ids, shown, terms, buying(terms, shown.item, catalogue, effects))
            row, column = np.nonzero(clicked)
            latest.add(user[row], time[row] + click_delay(column + 1), shown.item[row, column])
    return log.exposures(), *log.events()


def click_delay(position: Ints) -> Ints:
    """Seconds from the request to a click: the reader moves down the page."""
    return 3 + 6 * position


class _Pages:
    """Fills pages from several channels, as a feed with a recall stage does."""

    def __init__(self, seed: int, size: str, users: Users, catalogue: Catalogue) -> None:
        self._draws = Draws("shop", 1, seed, "pages", size)
        self._users = users
        self._catalogue = catalogue

    def fill(self, ids: Ints, user: Ints, day: Ints, exact_day: Floats, recent: Ints) -> Ints:
        """Ten distinct items for each request, (n, 10), of which it shows the first few."""
        n, catalogue = len(ids), self._catalogue
        u = self._draws.grid(ids, 4 * _SLOTS + 1)
        channel = np.searchsorted(_CHANNELS, u[:, :_SLOTS], side="right")
        choice, second, order = (u[:, (i + 1) * _SLOTS : (i + 2) * _SLOTS] for i in range(3))
        num_recent = (recent >= 0).sum(axis=1)[:, None]
        channel = np.where((channel < 2) & (num_recent == 0), 2, channel)

        reach = np.where(channel == 0, 8, 16)  # the feed favours the newest clicks
        nth = np.floor(choice**2 * np.minimum(num_recent, reach)).astype(np.int64)
        clicked = np.take_along_axis(recent, nth, axis=1)
        tasted = catalogue.draw_tasted_leaf(self._users.taste(user, exact_day), TASTE_IN_FEED, second)
        leaf = np.where(
            channel == 0, catalogue.cate[clicked], np.where(channel == 2, tasted, catalogue.draw_leaf(choice))
        )
        days = np.broadcast_to(day[:, None], leaf.shape)
        item = catalogue.draw_item(order, leaf, days)
        live, young = catalogue.live[days], catalogue.live[np.maximum(days - 3, 0)]
        anywhere = catalogue.by_birth[np.floor(choice * live).astype(np.int64)]
        newborn = catalogue.by_birth[young + np.floor(choice * (live - young)).astype(np.int64)]
        item = np.choose(channel, [item, clicked, item, item, anywhere, newborn])

        # Ten neighbours in order of birth close the gaps that duplicates leave.
        spare = (np.floor(u[:, -1:] * live[:, :1]).astype(np.int64) + np.arange(MAX_EXPOSURES)) % live[:, :1]
        item = np.concatenate([item, catalogue.by_birth[spare]], axis=1)
        twice = (item[:, :, None] == item[:, None, :]) & np.tri(item.shape[1], k=-1, dtype=bool)
        kept = np.argsort(twice.any(axis=2), axis=1, kind="stable")[:, :MAX_EXPOSURES]
        return np.take_along_axis(item, kept, axis=1).reshape(n, MAX_EXPOSURES)


class _Log:
    """Collects the rounds into columns; a row's labels depend on its request and position alone."""

    def __init__(self, seed: int, size: str, requests: Requests, balance: Balance) -> None:
        self._requests, self._balance = requests, balance
        self._click_draws = Draws("shop", 1, seed, "click", size)
        self._buy_draws = Draws("shop", 1, seed, "buy", size)
        self._first_row = np.cumsum(requests.size) - requests.size
        rows = int(requests.size.sum())
        self._item = np.zeros(rows, dtype=np.int32)
        self._click = np.zeros(rows, dtype=np.int8)
        self._buy = np.zeros(rows, dtype=np.int8)
        self._p = {name: np.zeros(rows, dtype=np.float32) for name in ("click", "buy", "buy_all", "first")}
        self._terms = {name: np.zeros(rows, dtype=np.float32) for name in TERMS}

    def write(self, ids: Ints, shown: Shown, terms: dict[str, Floats], wish: Floats) -> npt.NDArray[np.bool_]:
        """Draws the labels of a round and stores its rows; returns the clicks, (n, 10)."""
        used = shown.position <= self._requests.size[ids][:, None]
        logit = self._balance.click_bias + summed(terms)
        p_click, p_buy_all = probability(logit), probability(self._balance.buy_bias + wish)
        clicked = (self._click_draws.grid(ids, MAX_EXPOSURES) < p_click) & used
        bought = (self._buy_draws.grid(ids, MAX_EXPOSURES) < p_buy_all) & clicked
        rows = (self._first_row[ids][:, None] + shown.position - 1)[used]
        self._item[rows] = shown.item[used]
        self._click[rows] = clicked[used]
        self._buy[rows] = bought[used]
        self._p["click"][rows] = p_click[used]
        self._p["buy"][rows] = (p_click * p_buy_all)[used]
        self._p["buy_all"][rows] = p_buy_all[used]
        self._p["first"][rows] = probability(logit - terms["position"])[used]
        for name in TERMS:
            self._terms[name][rows] = np.broadcast_to(terms[name], used.shape)[used]
        return clicked

    def exposures(self) -> Exposures:
        request = np.repeat(np.arange(len(self._requests.size)), self._requests.size)
        position = np.arange(len(request)) - self._first_row[request] + 1
        p = self._p
        return Exposures(
            request=request,
            item=self._item,
            position=position.astype(np.int8),
            click=self._click,
            buy=self._buy,
            p_click=p["click"],
            p_buy=p["buy"],
            p_buy_all=p["buy_all"],
            p_click_position_1=p["first"],
            terms=self._terms,
        )

    def events(self) -> tuple[Events, Events]:
        """Clicks and purchases of the feed; a purchase follows its click by a minute or more."""
        log, events = self.exposures(), []
        for label, delay in ((log.click, 0), (log.buy, 90)):
            rows = np.flatnonzero(label)
            request, position = log.request[rows], log.position[rows].astype(np.int64)
            time = self._requests.time[request] + click_delay(position) + delay
            events.append(sorted_events(self._requests.user[request], time, log.item[rows].astype(np.int64)))
        return events[0], events[1]
