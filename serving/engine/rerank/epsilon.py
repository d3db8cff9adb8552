"""`epsilon`: with some probability a position is given to any candidate, so that something is learned of all of them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from serving.engine.ask import Ask
from serving.engine.merge import Candidates
from serving.engine.rerank import Rerank, RerankConfig, chosen_first


class Config(RerankConfig):
    """Config of `epsilon`."""

    type: Literal["epsilon"] = "epsilon"
    share: float = Field(0.05, ge=0.0, le=1.0)
    """Probability that a position is given by chance."""
    pool: int | None = Field(None, ge=1)
    """Chance chooses among so many of the best candidates; default: all."""
    positions: list[int] | None = None
    """Where; default: everywhere."""


class Epsilon(Rerank):
    """Position after position: the best item that is left, or with probability `share` any one of those that are left.

    The propensity of an item is how likely it was to stand at its position, given what stands above: with m items left it is
    ``share / m``, and for the best of them ``1 - share + share / m``.
    """

    def rerank(self, ask: Ask, candidates: Candidates, count: int) -> Candidates:
        """See the contract."""
        config, many = self.config, len(candidates)
        pool = min(many, config.pool or many)
        steps = min(count, pool)
        chance = ask.random.random(steps) < config.share
        draws = ask.random.random(steps)
        chosen: list[int] = []
        propensity = np.ones(many)
        taken = set[int]()
        best = 0
        for position in range(steps):
            while best in taken:
                best += 1
            left = pool - len(chosen)
            share = config.share if config.positions is None or position in config.positions else 0.0
            pick = best
            if share and chance[position]:
                pick = int(draws[position] * left)  # among those that are left: count those that were taken before it
                for place in sorted(taken):
                    pick += place <= pick
            chosen.append(pick)
            taken.add(pick)
            propensity[pick] = share / left + (1.0 - share) * (pick == best)
        found = candidates.take(chosen_first(many, chosen))
        before = candidates.propensity if candidates.propensity is not None else np.ones(many)
        found.propensity = (propensity * before)[chosen_first(many, chosen)]
        return found
