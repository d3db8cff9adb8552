"""The world: how likely anybody is to click anything at any time, and therefore the best list there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from easyrec.data.shop.draws import Draws, Floats, Ints, pick, rounded
from easyrec.simulate.clock import SATURDAY, Clock
from easyrec.simulate.config import WorldConfig
from easyrec.simulate.history import History
from easyrec.simulate.items import Items, make_items
from easyrec.simulate.users import NUM_LEVELS, Users, make_users

EMPTY = -1
"""In the place of an item where a list has none."""
CELLS = 1_000_000
"""Pairs of a request and an item that are looked at at once: a few arrays of 8 MB."""
_PRICE = -0.3
_HOUR = 0.4
_WAVE = 0.15
_FRESH_DAYS = 3.0
_PILOT = 4000


@dataclass(frozen=True)
class Requests:
    """Moments at which users ask, in order of time.

    Attributes:
        number: (n,) tells requests apart, over all days.
        user: (n,)
        time: (n,) ms since the epoch.
    """

    number: Ints
    user: Ints
    time: Ints

    def __len__(self) -> int:
        return len(self.user)

    def __getitem__(self, rows: slice | Ints) -> Requests:
        return Requests(self.number[rows], self.user[rows], self.time[rows])


@dataclass(frozen=True)
class Responses:
    """What users did with lists, each (n, k).

    Attributes:
        examined: Whether they looked at it.
        clicked: Whether they clicked it.
        bought: Whether they bought it then.
        click_time: ms since the epoch; of what was not clicked, when it would have been.
        buy_time: The same of purchases.
        click_told: When the click is told.
        buy_told: When the purchase is.
    """

    examined: np.ndarray
    clicked: np.ndarray
    bought: np.ndarray
    click_time: Ints
    buy_time: Ints
    click_told: Ints
    buy_told: Ints


class World:
    """Users, items, and the chance of every click.

    A click is ``examination x attraction``. Whether a position is looked at hangs on the position alone; attraction is the
    sigmoid of

        bias + taste * <user's taste, item's vector> + quality + trend of the category + price by level
             + hour and weekend of the category + freshness - fatigue of what the user has clicked lately

    so the best list is the one in order of attraction, and what any list is worth is a sum. All numbers are drawn from
    counters: one seed gives one world, and a user shown the same item in the same request answers alike, whoever shows it.

    Args:
        config: Its `world`.
    """

    def __init__(self, config: WorldConfig) -> None:
        self.config = config
        self.clock = Clock.of(config.start)
        self.items: Items = make_items(config, self.clock)
        self.users: Users = make_users(config)
        self.bias, self.buy_bias = 0.0, 0.0
        self._activity = np.cumsum(self.users.activity)
        pilot = self._pilot()
        logit = self.logits(*pilot)
        self.bias = _bias(logit, config.ctr)
        wish = self._buying(logit, pilot[2])
        self.buy_bias = _bias(wish, config.conversion)

    # ------------------------------------------------------------------------------------------ who asks

    def requests(self, day: int, number: int) -> Requests:
        """The requests of a day; negative days lie before the start."""
        draws = [Draws("simulate", 1, self.config.seed, "requests", name, day) for name in ("when", "who")]
        user = pick(self._activity, draws[1].uniform(number))
        return Requests((day + 1000) * 100_000_000 + np.arange(number), user, self.clock.times(draws[0], day, number))

    def examination(self, size: int) -> Floats:
        """(size,) the chance that each position is looked at."""
        position = np.arange(size)
        chance = (1.0 + position) ** -self.config.position_bias * (1.0 - self.config.abandonment) ** position
        return chance.astype(np.float64)

    # ------------------------------------------------------------------------------------- what attracts

    def logits(self, user: Ints, time: Ints, item: Ints, history: History | None = None) -> Floats:
        """Logits of attraction.

        Args:
            user: (n,)
            time: (n,) ms since the epoch.
            item: (n, k) or (1, k), items of each row; those of `EMPTY` may stand for anything.
            history: What users have clicked; None: nothing.

        Returns:
            (n, k)
        """
        items, day = self.items, self.clock.day(time)
        taste = self.users.taste(user, day)
        vector = items.vector[item]
        product = taste @ vector[0].T if len(item) == 1 else np.einsum("nd,nkd->nk", taste, vector)
        level = self.users.level[user] / (NUM_LEVELS - 1.0)
        logit: Floats = self.config.taste * product
        logit += (_PRICE * (1.0 - level))[:, None] * items.log_price[item]
        moment, cate = self._of_categories(user, time, day), items.cate[item]
        logit += moment[:, cate[0]] if len(item) == 1 else np.take_along_axis(moment, cate, axis=1)
        age = np.maximum((time[:, None] - items.birth[item]) / 86_400_000.0, 0.0)
        logit += items.quality[item] + self.config.freshness * np.exp(-age / _FRESH_DAYS) + self.bias
        if history is not None:
            history.tire(logit, user, time, item, self.config.fatigue, self.config.fatigue_hours)
        return logit

    def attraction(self, user: Ints, time: Ints, item: Ints, history: History | None = None) -> Floats:
        """(n, k) chance of a click where the user looks; 0 where there is no item, or not yet. See `logits`."""
        chance = probability(self.logits(user, time, item, history))
        there = (item >= 0) & (self.items.birth[item] <= time[:, None])
        shown: Floats = np.where(there, chance, 0.0)
        return shown

    def truth(self, requests: Requests, lists: Ints, history: History | None = None) -> Floats:
        """(n,) expected clicks of lists (n, k), without noise."""
        chance = self.attraction(requests.user, requests.time, lists, history)
        return chance @ self.examination(lists.shape[1])

    def oracle(self, requests: Requests, size: int, history: History | None = None) -> Ints:
        """(n, size) the lists with the most expected clicks."""
        return self.best(requests, size, history)[0]

    def best(self, requests: Requests, size: int, history: History | None = None) -> tuple[Ints, Floats]:
        """The best lists (n, size), and their expected clicks (n,)."""
        lists = np.full((len(requests), size), EMPTY, dtype=np.int64)
        examination = self.examination(size)
        value = np.zeros(len(requests))
        for rows in steps(len(requests), len(self.items)):
            part = requests[rows]
            live = self.items.live(int(part.time[-1]))
            every = np.arange(live)[None]
            logit = self.logits(part.user, part.time, every, history)
            logit[self.items.birth[every] > part.time[:, None]] = -np.inf
            top = top_k(logit, size)
            lists[rows, : top.shape[1]] = top
            chance = probability(np.take_along_axis(logit, top, axis=1))
            value[rows] = chance @ examination[: top.shape[1]]
        return lists, value

    # ------------------------------------------------------------------------------------- what they do

    def respond(self, requests: Requests, lists: Ints, history: History | None = None) -> Responses:
        """What users do with lists (n, k). `history` is not changed."""
        n, size = lists.shape
        position = np.arange(size)
        chance = self.attraction(requests.user, requests.time, lists, history)
        draws = {name: Draws("simulate", 1, self.config.seed, "responses", name) for name in _CHANCES}
        key = requests.number[:, None] * 1024 + position
        # Those who leave after a position see none of the later ones.
        stay = draws["leave"].at(key) >= self.config.abandonment
        present = np.concatenate([np.ones((n, 1), dtype=bool), np.logical_and.accumulate(stay, axis=1)[:, :-1]], axis=1)
        looked = draws["look"].at(key) < (1.0 + position) ** -self.config.position_bias
        key = requests.number[:, None] * 16_777_216 + np.maximum(lists, 0)
        examined = present & looked & (lists >= 0)
        clicked = examined & (draws["click"].at(key) < chance)
        wish = probability(self._buying(self.logits(requests.user, requests.time, lists, history), lists))
        bought = clicked & (draws["buy"].at(key) < wish)
        click = requests.time[:, None] + 1500 * (1 + position) + _waited(draws["click_after"].at(key), 3.0)
        buy = click + 5000 + _waited(draws["buy_after"].at(key), 600.0)
        late = self.config.late
        delays = [
            np.where(
                draws[f"{what}_late"].at(key) < late.share,
                _waited(draws[f"{what}_delay"].at(key), 60.0 * late.minutes),
                0,
            )
            for what in ("click", "buy")
        ]
        return Responses(examined, clicked, bought, click, buy, click + delays[0], buy + delays[1])

    # ------------------------------------------------------------------------------------------ details

    def _of_categories(self, user: Ints, time: Ints, day: Floats) -> Floats:
        """(n, categories) what the moment adds to each category: hour, weekend, and how it comes and goes."""
        items, season = self.items, self.config.seasonality
        hour = self.clock.hour(time)[:, None] + 0.5
        term = season * _HOUR * np.cos(2.0 * np.pi * (hour - items.peak_hour) / 24.0)
        term += season * (self.clock.weekday(time) >= SATURDAY)[:, None] * items.weekend
        term += _WAVE * self.config.drift * np.sin(2.0 * np.pi * (items.wave[:, 0] + day[:, None] / items.wave[:, 1]))
        moved = self.users.after(user, day)[:, None]
        term += (1.0 - moved) * items.trend[0] + moved * items.trend[1]
        return term

    def _buying(self, logit: Floats, item: Ints) -> Floats:
        """Logits of buying what was clicked: it shares causes with the click, so clicks are no fair sample."""
        return 0.5 * (logit - self.bias) - 0.4 * self.items.log_price[item] + self.buy_bias

    def _pilot(self) -> tuple[Ints, Ints, Ints]:
        """Random users, times before the shift, and items."""
        u = Draws("simulate", 1, self.config.seed, "pilot").uniform(_PILOT, 3)
        user = np.floor(u[:, 0] * len(self.users)).astype(np.int64)
        last = self.config.days if self.config.shift is None else max(self.config.shift.day, 1)
        time = self.clock.start + np.floor(u[:, 1] * min(last, 7) * 86_400_000).astype(np.int64)
        return user, time, np.floor(u[:, 2] * self.config.items).astype(np.int64)[:, None]


_CHANCES = (
    "leave", "look", "click", "buy", "click_after", "buy_after", "click_late", "buy_late", "click_delay", "buy_delay",
)  # fmt: skip


def steps(requests: int, items: int) -> Iterator[slice]:
    """Runs of requests that are looked at together, where each is beside all items."""
    size = max(CELLS // max(items, 1), 1)
    for low in range(0, requests, size):
        yield slice(low, min(low + size, requests))


def top_k(score: Floats, size: int) -> Ints:
    """(n, min(size, m)) columns of the greatest of (n, m), the greatest first; of equal ones the first."""
    size = min(size, score.shape[1])
    if size < score.shape[1]:
        found = np.sort(np.argpartition(-score, size - 1, axis=1)[:, :size], axis=1)
    else:
        found = np.tile(np.arange(size), (len(score), 1))
    order = np.argsort(-np.take_along_axis(score, found, axis=1), axis=1, kind="stable")
    return np.take_along_axis(found, order, axis=1).astype(np.int64)


def probability(logit: Floats) -> Floats:
    """Sigmoid on a grid of 1e-6: the last bit of exp differs between machines, the grid does not."""
    return rounded(1.0 / (1.0 + np.exp(-logit)))


def _waited(uniform: Floats, mean_s: float) -> Ints:
    """Milliseconds of exponential waits, a hundred means at most."""
    return np.floor(1000.0 * mean_s * np.minimum(-np.log1p(-uniform), 100.0)).astype(np.int64)


def _bias(logit: Floats, rate: float) -> float:
    """What to add for a mean chance of `rate`, to 1e-5."""
    mean: Callable[[float], float] = lambda bias: float((1.0 / (1.0 + np.exp(-(logit + bias)))).mean())  # noqa: E731
    low, high = -40.0, 40.0
    while high - low > 1e-6:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if mean(middle) < rate else (low, middle)
    return round(0.5 * (low + high), 4)
