"""Who answers requests: policies in this process, which need no engine, and what all policies share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from easyrec.data.shop.draws import Draws, Floats, Ints
from easyrec.simulate.config import PolicyConfig
from easyrec.simulate.events import Clicks
from easyrec.simulate.history import History
from easyrec.simulate.world import EMPTY, Requests, World, steps, top_k

_PRIOR_LOOKS, _PRIOR_CTR = 20.0, 0.05


@dataclass(frozen=True)
class Answers:
    """Lists for requests.

    Attributes:
        items: (n, k) item ids, `EMPTY` where a list is short.
        propensity: (n, k) chance of each item to be shown at its position; None: not known.
        latency_ms: (n,) how long each took.
        failed: (n,) whether there was no answer, or none that can be shown.
        degraded: (n,) whether the answer says that something was left out.
        faults: What went wrong, a few examples.
    """

    items: Ints
    propensity: Floats | None
    latency_ms: Floats
    failed: np.ndarray
    degraded: np.ndarray
    faults: tuple[str, ...] = ()

    @staticmethod
    def of(items: Ints, propensity: Floats | None = None) -> Answers:
        """Lists that took no time and went well."""
        n = len(items)
        return Answers(items, propensity, np.zeros(n), np.zeros(n, dtype=bool), np.zeros(n, dtype=bool))


class Policy(Protocol):
    """What a simulation asks for lists."""

    def recommend(self, requests: Requests, size: int) -> Answers:
        """Lists for requests, whose users differ."""

    def observe(self, clicks: Clicks) -> None:
        """Events that have come in."""


class Scored:
    """The items of the greatest scores; each position shows one of the next best instead by a chance.

    The list of a request is random in a way that can be told: with chance ``1 - explore`` the item at a position is the one
    of that rank, else one of the ``pool`` next best, all with the same chance, and none twice. So the propensity of what is
    shown at its position is ``1 - explore``, or ``explore / pool``. With `whole` the dice are thrown once a list: the item of
    that rank has the propensity ``1 - explore + explore / (size + pool)``, any other one ``explore / (size + pool)``.

    Args:
        world: The world.
        config: How much is explored.
        name: Of the stream of random numbers.
    """

    def __init__(self, world: World, config: PolicyConfig, name: str = "policy") -> None:
        self.world, self.config = world, config
        self._draws = {what: Draws("simulate", 1, world.config.seed, name, what) for what in ("explore", "order")}

    def scores(self, requests: Requests, live: int) -> Floats:
        """(n, live) scores of the items below `live`."""
        raise TypeError(f"{type(self).__name__} must define scores")

    def observe(self, clicks: Clicks) -> None:
        """Nothing is learned."""

    def shown(self, requests: Requests, items: Ints) -> None:
        """Lists that were shown; nothing is learned."""

    def recommend(self, requests: Requests, size: int) -> Answers:
        """Lists, and how likely each item was at its position."""
        items = np.full((len(requests), size), EMPTY, dtype=np.int64)
        propensity = np.ones((len(requests), size))
        for rows in steps(len(requests), len(self.world.items)):
            items[rows], propensity[rows] = self._explored(requests[rows], size)
        self.shown(requests, items)
        return Answers.of(items, propensity)

    def _explored(self, requests: Requests, size: int) -> tuple[Ints, Floats]:
        live = self.world.items.live(int(requests.time[0]))  # those born within the batch wait for the next one
        pool = min(self.config.pool, live - size) if self.config.explore else 0
        best = top_k(self.scores(requests, live), size + pool)
        items, propensity = best[:, :size], np.ones((len(requests), size))
        if pool < size:  # too few others to fill a list with
            return items, propensity
        explore, many = self.config.explore, size + pool
        if self.config.whole:
            other = self._draws["explore"].at(requests.number[:, None] * 1024) < explore
            explored = np.take_along_axis(best, self._drawn(requests, many, size), axis=1)
            items = np.where(other, explored, items)
            return items, explore / many + (1.0 - explore) * (items == best[:, :size])
        other = self._draws["explore"].at(requests.number[:, None] * 1024 + np.arange(size)) < explore
        explored = np.take_along_axis(best[:, size:], self._drawn(requests, pool, size), axis=1)
        return np.where(other, explored, items), np.where(other, explore / pool, 1.0 - explore)

    def _drawn(self, requests: Requests, many: int, size: int) -> Ints:
        """(n, size) different numbers below `many`, in random order."""
        chance = self._draws["order"].at(requests.number[:, None] * 16_777_216 + np.arange(many))
        return top_k(chance, size)


class RandomPolicy:
    """Every item that is there alike.

    Args:
        world: The world.
        name: Of the stream of random numbers.
    """

    def __init__(self, world: World, name: str = "random") -> None:
        self.world, self._draws = world, Draws("simulate", 1, world.config.seed, name)

    def recommend(self, requests: Requests, size: int) -> Answers:
        """Lists without repetition."""
        live = self.world.items.live(int(requests.time[0]))
        items = np.empty((len(requests), size), dtype=np.int64)
        for rows in steps(len(requests), len(self.world.items)):
            items[rows] = top_k(self._draws.at(requests.number[rows, None] * 16_777_216 + np.arange(live)), size)
        return Answers.of(items, np.full(items.shape, 1.0 / live))

    def observe(self, clicks: Clicks) -> None:
        """Nothing is learned."""


class PopularPolicy(Scored):
    """Items by clicks over looks, as far as they have come in.

    The policy knows how likely positions are looked at, so it does not take for popular what merely stood on top.
    """

    def __init__(self, world: World, config: PolicyConfig, name: str = "policy") -> None:
        super().__init__(world, config, name)
        self.clicks = np.zeros((self.groups(), len(world.items)))
        self.looks = np.zeros_like(self.clicks)

    def groups(self) -> int:
        """How many groups of users are counted apart."""
        return 1

    def group(self, user: Ints) -> Ints:
        """(n,) the groups of users."""
        return np.zeros(len(user), dtype=np.int64)

    def scores(self, requests: Requests, live: int) -> Floats:
        """Smoothed clicks over looks, and a little chance to tell equal ones apart."""
        clicks, looks = self.clicks[:, :live], self.looks[:, :live]
        rate = (clicks + _PRIOR_CTR * _PRIOR_LOOKS) / (looks + _PRIOR_LOOKS)
        tie = Draws("simulate", 1, self.world.config.seed, "tie").uniform(live)
        scores: Floats = (rate + 1e-9 * tie)[self.group(requests.user)]
        return scores

    def state(self) -> dict[str, Floats]:
        """What was counted, to be kept."""
        return {"clicks": self.clicks, "looks": self.looks}

    def restore(self, state: Mapping[str, Floats]) -> None:
        """Know what `state` gave.

        Raises:
            ValueError: It is of another policy.
        """
        for name, held in self.state().items():
            if state[name].shape != held.shape:
                raise ValueError("what was learned is of another policy")
            held[:] = state[name]

    def observe(self, clicks: Clicks) -> None:
        """Count the clicks."""
        first = clicks.kind == 0
        np.add.at(self.clicks, (self.group(clicks.user[first]), clicks.item[first]), 1.0)

    def shown(self, requests: Requests, items: Ints) -> None:
        """Count the looks."""
        row, place = np.nonzero(items >= 0)
        look = self.world.examination(items.shape[1])[place]
        np.add.at(self.looks, (self.group(requests.user)[row], items[row, place]), look)


class SegmentsPolicy(PopularPolicy):
    """Items by clicks over looks of users of one age and gender, which lean on those of the category, and of all."""

    def groups(self) -> int:
        """Eight ages times two genders."""
        return 16

    def group(self, user: Ints) -> Ints:
        """By age and gender."""
        return self.world.users.known()[user]

    def scores(self, requests: Requests, live: int) -> Floats:
        """Rates of (group, category) times that of the item among all users."""
        cate, kinds = self.world.items.cate[:live], self.world.config.categories
        clicks, looks = self.clicks[:, :live], self.looks[:, :live]
        all_clicks, all_looks = clicks.sum(axis=0), looks.sum(axis=0)
        mean = (all_clicks.sum() + 1.0) / (all_looks.sum() + 1.0 / _PRIOR_CTR)
        of_item = (all_clicks + mean * _PRIOR_LOOKS) / (all_looks + _PRIOR_LOOKS)

        def by_category(values: Floats) -> Floats:
            return np.stack([np.bincount(cate, row, minlength=kinds) for row in values])

        rate = (by_category(clicks) + mean * _PRIOR_LOOKS) / (by_category(looks) + _PRIOR_LOOKS)
        tie = Draws("simulate", 1, self.world.config.seed, "tie").uniform(live)
        scores: Floats = rate[self.group(requests.user)][:, cate] * of_item + 1e-9 * tie
        return scores


class OraclePolicy(Scored):
    """The best lists there are.

    Args:
        world: The world.
        history: What users have clicked, as the simulation keeps it; None: their being tired is left out.
        config: How much is explored; by default nothing.
    """

    def __init__(self, world: World, history: History | None = None, config: PolicyConfig | None = None) -> None:
        super().__init__(world, config or PolicyConfig(type="oracle", explore=0.0))
        self.history = history

    def scores(self, requests: Requests, live: int) -> Floats:
        """The logits of attraction."""
        return self.world.logits(requests.user, requests.time, np.arange(live)[None], self.history)


class LoggedPolicy:
    """Lists that somebody else made.

    Args:
        lists: Items by the number of the request; there is no answer to others.
    """

    def __init__(self, lists: Mapping[int, Ints]) -> None:
        self.lists = lists

    def recommend(self, requests: Requests, size: int) -> Answers:
        """What was logged."""
        items = np.full((len(requests), size), EMPTY, dtype=np.int64)
        for row, number in enumerate(requests.number.tolist()):
            found = self.lists.get(number)
            if found is not None:
                items[row, : min(size, len(found))] = found[:size]
        failed = np.array([number not in self.lists for number in requests.number.tolist()])
        n = len(items)
        return Answers(items, None, np.zeros(n), failed, np.zeros(n, dtype=bool))

    def observe(self, clicks: Clicks) -> None:
        """Nothing is learned."""


def build_policy(world: World, config: PolicyConfig, history: History | None = None) -> Policy:
    """The policy of a config.

    Args:
        world: The world.
        config: Which.
        history: What users have clicked, for the oracle.
    """
    match config.type:
        case "random":
            return RandomPolicy(world)
        case "popular":
            return PopularPolicy(world, config)
        case "segments":
            return SegmentsPolicy(world, config)
        case "oracle":
            return OraclePolicy(world, history, config)
