"""What users do: clicks outside the logged feed, and the moments at which they open the feed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from easyrec.data.shop.catalogue import DAYS, Catalogue
from easyrec.data.shop.draws import Draws, Floats, Ints, pick
from easyrec.data.shop.users import NUM_USERS, Users

START = 1_704_067_200  # 2024-01-01 00:00 UTC, a Monday: the first second of day 1
DAY = 86_400
HOUR = 3_600
END = START + DAYS * DAY
WARM_UP_DAYS = 30
SCENES = ("home", "detail", "cart")
MAX_EXPOSURES = 10  # of one request; 6 to 10, 8 on average

# Share of each hour of the day; a quiet night, a small peak at noon and a large one in the evening.
HOUR_SHARE = np.array(
    [20, 12, 8, 6, 6, 10, 20, 34, 44, 48, 48, 50, 58, 54, 46, 44, 44, 48, 56, 68, 80, 82, 66, 40], dtype=np.float64
)
_SCENE_SHARE = np.array([0.6, 0.25, 0.15])
_SESSIONS_PER_USER = 20.0
_MAX_SESSIONS = 160
_SESSION_LENGTH_SHARE = np.array([0.20, 0.25, 0.20, 0.15, 0.10, 0.10])  # of 1..6 clicks
TASTE_IN_SEARCH = 1.5  # strength of taste where users choose the category themselves
_FOCUS = 0.5  # share of a session's clicks on the leaf that it is about
_BUY_SHARE = 0.08
_AFTER_SESSION = 0.7  # share of requests that follow a session
_HOURS_AFTER_SESSION = 2.5
_REQUEST_GAP = 180  # seconds between two requests of a user, longer than a page of clicks takes


@dataclass(frozen=True)
class Events:
    """Clicks or purchases sorted by user, then time."""

    user: Ints
    time: Ints  # unix seconds
    item: Ints

    def before(self, user: Ints, time: Ints) -> tuple[Ints, Ints]:
        """Where the events of users begin, and where those strictly before a time end."""
        end = np.searchsorted(_key(self.user, self.time), _key(user, time), side="left")
        return np.searchsorted(self.user, user, side="left"), end


def sorted_events(user: Ints, time: Ints, item: Ints) -> Events:
    """Events in order; those of one user and second keep their order."""
    order = np.argsort(_key(user, time), kind="stable")
    return Events(user[order], time[order], item[order])


def _key(user: Ints, time: Ints) -> Ints:
    return user * (1 << 40) + time


@dataclass(frozen=True)
class Sessions:
    """Bursts of clicks outside the feed (search, category pages), most of them on one leaf."""

    user: Ints
    end: Ints  # time of the last click


@dataclass(frozen=True)
class Requests:
    """Openings of the feed, sorted by time."""

    user: Ints
    time: Ints
    day: Ints  # 1..30
    hour: Ints
    scene: Ints
    size: Ints  # number of exposures
    ordinal: Ints  # how many requests of the same user came before


def day_of(time: Ints) -> Ints:
    """Day of a time: 1 is the first logged day, -29 the first day of the warm-up."""
    return (time - START) // DAY + 1


def make_organic(seed: int, size: str, users: Users, catalogue: Catalogue) -> tuple[Sessions, Events, Events]:
    """Sessions of 60 days, their clicks, and the purchases among them."""

    def draws(name: str) -> Draws:
        return Draws("shop", 1, seed, "organic", size, name)

    expected = np.minimum(_SESSIONS_PER_USER * users.activity, _MAX_SESSIONS)
    count = np.floor(expected + draws("count").uniform(NUM_USERS)).astype(np.int64)
    user = np.repeat(np.arange(NUM_USERS), count)
    n = len(user)
    u = draws("session").uniform(n, 5)
    day = np.floor(u[:, 0] * (WARM_UP_DAYS + DAYS)) - WARM_UP_DAYS
    hour = pick(np.cumsum(HOUR_SHARE), u[:, 1])
    start = (START + day * DAY + hour * HOUR + np.floor(u[:, 2] * HOUR)).astype(np.int64)
    length = 1 + pick(np.cumsum(_SESSION_LENGTH_SHARE), u[:, 3])

    session = np.repeat(np.arange(n), length)
    m = len(session)
    v = draws("click").uniform(m, 8)
    nth = np.arange(m) - np.repeat(np.cumsum(length) - length, length)
    gap = np.where(nth > 0, 15 + np.floor(v[:, 0] * 150), 0).astype(np.int64)
    elapsed = np.cumsum(gap)
    elapsed -= np.repeat(elapsed[nth == 0], length)
    time = start[session] + elapsed

    focus = _tasted_leaf(users, catalogue, user, start, draws("focus").uniform(n, 1))
    other = _tasted_leaf(users, catalogue, user[session], time, v[:, 1:2])
    leaf = np.where(v[:, 4] < _FOCUS, focus[session], other)
    item = catalogue.draw_item(v[:, 5], leaf, day_of(start)[session])

    bought = v[:, 6] < _BUY_SHARE
    pay = time[bought] + 60 + np.floor(v[bought, 7] * 600).astype(np.int64)
    clicks = sorted_events(user[session], time, item)
    buys = sorted_events(user[session][bought], pay, item[bought])
    last = np.cumsum(length) - 1
    return Sessions(user, time[last]), clicks, buys


def _tasted_leaf(users: Users, catalogue: Catalogue, user: Ints, time: Ints, uniform: Floats) -> Ints:
    leaf = np.empty(len(user), dtype=np.int64)
    for i in range(0, len(user), 8_192):  # in steps that stay in the cache
        part = slice(i, i + 8_192)
        taste = users.taste(user[part], (time[part] - START) / DAY + 1.0)
        leaf[part] = catalogue.draw_tasted_leaf(taste, TASTE_IN_SEARCH, uniform[part])[:, 0]
    return leaf


def make_requests(seed: int, size: str, rows: int, users: Users, sessions: Sessions) -> Requests:
    """As many requests as ``rows`` exposures need; most of them come within hours after a session."""

    def draws(name: str) -> Draws:
        return Draws("shop", 1, seed, "requests", size, name)

    sizes = 6 + np.floor(draws("size").uniform(rows // 6 + 1) * 5).astype(np.int64)
    n = int(np.searchsorted(np.cumsum(sizes), rows)) + 1
    sizes = sizes[:n]
    sizes[-1] -= sizes.sum() - rows

    u = draws("when").uniform(n, 7)
    latest = END - HOUR  # leaves room to push requests of a user apart
    logged = np.flatnonzero((sessions.end >= START) & (sessions.end < latest))
    session = logged[np.floor(u[:, 0] * len(logged)).astype(np.int64)]
    wait = 60 + np.floor(-np.log1p(-u[:, 1]) * _HOURS_AFTER_SESSION * HOUR).astype(np.int64)
    after = sessions.end[session] + wait
    alone = START + np.floor(u[:, 2] * DAYS).astype(np.int64) * DAY + pick(np.cumsum(HOUR_SHARE), u[:, 3]) * HOUR
    alone = np.minimum(alone + np.floor(u[:, 4] * HOUR).astype(np.int64), latest)
    follows = (u[:, 5] < _AFTER_SESSION) & (after < latest)
    user = np.where(follows, sessions.user[session], pick(np.cumsum(users.activity), u[:, 6]))
    user, time, ordinal = _apart(user, np.where(follows, after, alone))

    order = np.lexsort((user, time))
    user, time, ordinal = user[order], time[order], ordinal[order]
    scene = pick(np.cumsum(_SCENE_SHARE), draws("scene").uniform(n))
    return Requests(user, time, day_of(time), (time - START) % DAY // HOUR, scene, sizes, ordinal)


def _apart(user: Ints, time: Ints) -> tuple[Ints, Ints, Ints]:
    """Requests sorted by user and time, those of one user at least 180 s apart, and their ordinals."""
    order = np.lexsort((time, user))
    user, time = user[order], time[order]
    ordinal = np.arange(len(user)) - np.searchsorted(user, user, side="left")
    # Running maximum of (time - gap * ordinal) within each user; the user's number keeps users apart.
    slack = time - START - _REQUEST_GAP * ordinal
    span = int(slack.max() - slack.min()) + 1
    shifted = np.maximum.accumulate(user * span + slack - slack.min()) - user * span + slack.min()
    return user, shifted + START + _REQUEST_GAP * ordinal, ordinal
