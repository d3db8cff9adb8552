"""Logs of a world beside policies whose worth is known: whether estimates from a log are what their intervals say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from easyrec.data.shop.draws import Draws, Floats
from easyrec.off_policy import Estimate, Logged, doubly_robust, ips, snips
from easyrec.simulate.config import PolicyConfig
from easyrec.simulate.policy import SegmentsPolicy
from easyrec.simulate.world import Requests, World, top_k

TAUGHT = 30_000
"""Requests from which the logging policy and the model of rewards have learned."""


@dataclass(frozen=True)
class Target:
    """A policy over the candidates of requests.

    Attributes:
        name: What it is called.
        chance: (m, k, c) chance of each candidate at each position.
        truth: Mean expected clicks of its lists over all requests.
    """

    name: str
    chance: Floats
    truth: float


class Trial:
    """A population of requests with their candidates, a policy that was logged, and others to be judged by its log.

    The policy that is logged is the simulator's `segments` with exploration by whole lists, so that the propensity of each
    candidate at each position is known. The population is finite: what a policy is truly worth is a sum.

    Args:
        world: The world.
        size: Items of a list.
        explore: Share of lists in random order.
        pool: Candidates beside those of the list.
        population: How many requests there are.
    """

    def __init__(
        self, world: World, *, size: int = 5, explore: float = 0.4, pool: int = 7, population: int = 20_000
    ) -> None:
        self.world, self.size, self.explore, self.many = world, size, explore, size + pool
        policy = SegmentsPolicy(world, PolicyConfig(type="segments", explore=0.5, pool=200))
        taught = world.requests(0, TAUGHT)
        answers = policy.recommend(taught, size)
        responses = world.respond(taught, answers.items)
        row, place = np.nonzero(responses.clicked)
        np.add.at(policy.clicks, (policy.group(taught.user[row]), answers.items[row, place]), 1.0)
        self.requests = world.requests(1, population)
        live = world.items.live(int(self.requests.time[0]))
        scores = policy.scores(self.requests, live)
        self.candidates = top_k(scores, self.many)
        self.predicted = np.take_along_axis(scores, self.candidates, axis=1)
        self.examination = world.examination(size)
        self.attraction = world.attraction(self.requests.user, self.requests.time, self.candidates)
        rows = np.arange(self.many)
        base = np.zeros((population, size, self.many))
        base[:, np.arange(size), rows[:size]] = 1.0
        self.logging = explore / self.many + (1.0 - explore) * base

    def targets(self) -> list[Target]:
        """Policies from near to far: less exploration, the same items upside down, other items, and the best ones."""
        noise = Draws("simulate", 1, self.world.config.seed, "off_policy").normal(*self.candidates.shape)
        uniform = np.full_like(self.logging, 1.0 / self.many)
        return [
            self._target("less exploration", 0.05 * uniform + 0.95 * self._ranked(-np.arange(self.many)[None])),
            self._target("upside down", self._ranked(np.arange(self.many)[None])),
            self._target("shuffled", uniform),
            self._target("another ranking", self._ranked(self.predicted + 0.01 * noise)),
            self._target("softened best", 0.2 * uniform + 0.8 * self._ranked(self.attraction)),
        ]

    def estimates(self, target: Target, rows: int, repetition: int) -> dict[str, Estimate]:
        """What logs of `rows` requests say of a policy, by estimator."""
        logged = self.logged(target, rows, repetition)
        return {"ips": ips(logged), "snips": snips(logged), "dr": doubly_robust(logged)}

    def repeated(self, rows: int, repetitions: int) -> Iterator[tuple[Target, int, dict[str, Estimate]]]:
        """Estimates of all policies from many logs."""
        for target in self.targets():
            for repetition in range(repetitions):
                yield target, repetition, self.estimates(target, rows, repetition)

    def logged(self, target: Target, rows: int, repetition: int) -> Logged:
        """A log of `rows` requests, drawn anew, with weights for a policy."""
        draws = {
            name: Draws("simulate", 1, self.world.config.seed, "trial", repetition, name)
            for name in ("who", "explore", "order")
        }
        who = np.floor(draws["who"].uniform(rows) * len(self.requests)).astype(np.int64)
        place = np.broadcast_to(np.arange(self.size), (rows, self.size))
        drawn = top_k(draws["order"].uniform(rows, self.many), self.size)
        shown = np.where(draws["explore"].uniform(rows, 1) < self.explore, drawn, place)
        number = (repetition + 1) * 10_000_000 + np.arange(rows)
        requests = Requests(number, self.requests.user[who], self.requests.time[who])
        responses = self.world.respond(requests, np.take_along_axis(self.candidates[who], shown, axis=1))
        at = (who[:, None], place, shown)
        predicted = np.take_along_axis(self.predicted[who], shown, axis=1) * self.examination
        expected = np.einsum("nkc,nc,k->nk", target.chance[who], self.predicted[who], self.examination)
        clicks = responses.clicked.astype(np.float64)
        return Logged(clicks, self.logging[at], target.chance[at], None, predicted, expected)

    def _ranked(self, score: Any) -> Floats:
        """(m, k, c) the chances of a policy that shows the candidates in order of a score."""
        order = top_k(np.broadcast_to(score, self.candidates.shape).astype(np.float64), self.size)
        chance = np.zeros_like(self.logging)
        np.put_along_axis(chance, order[:, :, None], 1.0, axis=2)
        return chance

    def _target(self, name: str, chance: Floats) -> Target:
        worth = np.einsum("mkc,mc,k->m", chance, self.attraction, self.examination)
        return Target(name, chance, float(worth.mean()))
