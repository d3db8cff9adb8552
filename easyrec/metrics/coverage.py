"""`coverage`: the share of the items that come first somewhere."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from easyrec.metrics._lists import Lists
from easyrec.metrics._metric import Kept, ListConfig


class Config(ListConfig):
    """Config of `coverage`."""

    task_types: ClassVar[frozenset[str]] = frozenset({"binary", "regression", "ziln"})
    better: ClassVar[Literal["higher", "lower"] | None] = "higher"

    type: Literal["coverage"] = "coverage"
    k: int = Field(gt=0)
    """Rows of each list that count, the highest scores first."""
    item: str
    """Column that holds the item."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the lists and of the items."""
        return tuple(dict.fromkeys([self.by, self.item]))


class Coverage(Kept):
    """Different items among the first k rows of all lists, over the different items of all rows.

    Sample weights say only which rows are there: those of weight 0 are not.
    """

    def label(self, labels: np.ndarray) -> np.ndarray:
        """Labels do not matter."""
        return np.zeros(len(labels), np.bool_)

    def compute(self) -> float:
        """The share; NaN of no rows."""
        rows = self.rows()
        if rows is None:
            return float("nan")
        _, scores, weights = rows
        items = self.codes(self.config.item, ordered=True)
        lists = Lists.of(items, scores, weights, self.codes(self.config.by))
        shown, first = items[lists.order], lists.position < self.config.k
        return len(np.unique(shown[first])) / len(np.unique(shown)) if len(shown) else float("nan")
