"""`category`: what is popular in the categories, brands or tags that the user clicked lately."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from serving.engine.ask import Ask
from serving.engine.popularity import Popularity, PopularityConfig
from serving.engine.recall import NOTHING, Found, Recall, RecallConfig


class Config(RecallConfig, PopularityConfig):
    """Config of `category`."""

    aside: ClassVar[bool] = False

    type: Literal["category"] = "category"
    column: str = Field(min_length=1)
    """A column of the catalogue, of values or lists of them."""
    groups: int = Field(5, ge=1, le=100)
    """How many of the user's categories count, the best ones."""
    clicks: int = Field(50, ge=1, le=1000)
    """How many of the user's newest clicks count."""
    recency: float = Field(0.95, gt=0.0, le=1.0)
    """How much a click counts for each newer one."""


class Category(Recall):
    """Items of the user's categories in turn: a category that is liked twice as much gives twice as many."""

    why = "popular in {group}"

    def prepare(self) -> None:
        """The items of each category, the most popular first."""
        self._popularity = Popularity(self.config, self.world, self.rows)
        self._groups = self.rows.groups(self.config.column)
        self._sort()

    def refresh(self) -> None:
        """Order them anew where something was counted."""
        if self._popularity.refresh():
            self._sort()

    def _sort(self) -> None:
        groups, scores = self._groups, self._popularity.scores()
        codes = np.repeat(np.arange(len(groups.values)), np.diff(groups.starts))
        kept = self.allowed[groups.rows]
        rows, codes = groups.rows[kept], codes[kept]
        order = np.lexsort((-scores[rows], codes))
        starts = np.searchsorted(codes[order], np.arange(len(groups.values) + 1))
        self._sorted = (rows[order], starts)

    def recall(self, ask: Ask, count: int) -> Found:
        """See the contract."""
        config = self.config
        liked = self._groups.first[ask.clicked[: config.clicks]]
        weights = config.recency ** np.arange(len(liked))
        weights, liked = weights[liked >= 0], liked[liked >= 0]
        if not len(liked):
            return NOTHING
        rows, starts = self._sorted
        codes, each = np.unique(liked, return_inverse=True)
        shares = np.bincount(each, weights, len(codes))
        best = np.argsort(-shares, kind="stable")[: config.groups]
        codes, shares = codes[best], shares[best]
        sizes = np.minimum(np.ceil(count * shares / shares.sum()).astype(np.int64), starts[codes + 1] - starts[codes])
        which = np.repeat(np.arange(len(codes)), sizes)
        within = np.arange(len(which)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        found = rows[starts[codes][which] + within]
        order = np.argsort((within + 0.5) / shares[which], kind="stable")
        order = order[np.sort(np.unique(found[order], return_index=True)[1])][:count]  # with tags one may come twice
        return Found(found[order], groups=which[order], names=[self._groups.values[code] for code in codes.tolist()])
