"""`popular`: what most users take, lately or by a file or column of the catalogue."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from serving.engine.ask import Ask
from serving.engine.popularity import Popularity, PopularityConfig
from serving.engine.recall import Found, Recall, RecallConfig
from serving.engine.rows import EMPTY, Ints


class Config(RecallConfig, PopularityConfig):
    """Config of `popular`."""

    for_all: ClassVar[bool] = True
    aside: ClassVar[bool] = False

    type: Literal["popular"] = "popular"
    within: str | None = Field(None, min_length=1)
    """A column of the catalogue and of the user, e.g. `city`: popular among the items that have the user's value."""


class Popular(Recall):
    """The most popular first."""

    why = "popular now"

    def prepare(self) -> None:
        """The order of all items."""
        self._popularity = Popularity(self.config, self.world, self.rows)
        self._order, self._scores = EMPTY, np.zeros(0)
        self._sort()

    def refresh(self) -> None:
        """Order them anew where something was counted."""
        if self._popularity.refresh():
            self._sort()

    def _sort(self) -> None:
        scores = self._popularity.scores()
        order = np.argsort(-scores, kind="stable")
        self._order, self._scores = order[self.allowed[order]], scores

    def recall(self, ask: Ask, count: int) -> Found:
        """See the contract."""
        if self.config.within is None:
            rows = self._order[:count]
            return Found(rows, self._scores[rows])
        value = ask.value("user", self.config.within)
        code = self.rows.code(self.config.within, value)
        if code < 0:
            return Found(EMPTY)
        own = self.rows.groups(self.config.within).of(code)
        own = own[self.allowed[own]]
        scores = self._scores[own]
        best = np.argsort(-scores, kind="stable")[:count]
        return Found(own[best], scores[best], groups=np.zeros(len(best), np.int64), names=[value])

    def everything(self) -> Ints:
        """See the contract."""
        return self._order
