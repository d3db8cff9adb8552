"""`thompson`: items stand as high as what is believed of them, drawn at random: what is little known gets a try."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from serving.engine.ask import Ask
from serving.engine.merge import Candidates
from serving.engine.rerank import Rerank, RerankConfig, chosen_first, relevance


class Config(RerankConfig):
    """Config of `thompson`."""

    type: Literal["thompson"] = "thompson"
    pool: int = Field(50, ge=1, le=1000)
    """So many of the best candidates are ordered by chance; the others follow as they are."""
    prior: float = Field(20.0, gt=0.0)
    """How many exposures the model's score is worth beside those that were counted."""
    draws: int = Field(100, ge=10, le=10_000)
    """Orders that are drawn to tell how likely an item was to stand where it stands."""


class Thompson(Rerank):
    """Draws the click rate of each candidate from ``Beta(prior * p + clicks, prior * (1 - p) + exposures - clicks)``.

    p is the score where all scores lie between 0 and 1, else what relevance makes of it. Exposures and clicks are those that
    this process has counted. The propensity of an item is the share of `draws` other orders, and of this one, in which it
    stands at its position.

    Source:
        Chapelle and Li, "An empirical evaluation of Thompson sampling", NIPS 2011.
    """

    def rerank(self, ask: Ask, candidates: Candidates, count: int) -> Candidates:
        """See the contract."""
        many = min(self.config.pool, len(candidates))
        if not many:
            return candidates
        rows, live, prior = candidates.rows[:many], self.world.live, self.config.prior
        scores = np.nan_to_num(candidates.scores[:many])
        chances = scores if scores.min() >= 0.0 and scores.max() <= 1.0 else 0.5 * relevance(scores)
        shown, taken = live.counts(rows, self.rows)
        good = prior * np.clip(chances, 1e-4, 1.0 - 1e-4) + taken
        bad = prior * (1.0 - np.clip(chances, 1e-4, 1.0 - 1e-4)) + np.maximum(shown - taken, 0.0)
        drawn = ask.random.beta(good, bad, (self.config.draws + 1, many))
        orders = np.argsort(-drawn, axis=1, kind="stable")
        order = chosen_first(len(candidates), orders[0].tolist())
        found = candidates.take(order)
        propensity = np.ones(len(candidates))
        propensity[:many] = (orders == orders[0]).mean(axis=0)
        before = np.ones(len(candidates)) if candidates.propensity is None else candidates.propensity[order]
        found.propensity = propensity * before
        return found
