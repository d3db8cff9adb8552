"""`ranker_hit_rate`: how many of those that a ranker puts first are among those that the model puts first."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from easyrec.config.distill import LIST
from easyrec.metrics._lists import Lists
from easyrec.metrics._metric import Columns, Kept, ListConfig


class Config(ListConfig):
    """Config of `ranker_hit_rate`."""

    task_types: ClassVar[frozenset[str]] = frozenset({"binary", "regression"})
    better: ClassVar[Literal["higher", "lower"] | None] = "higher"

    type: Literal["ranker_hit_rate"] = "ranker_hit_rate"
    k: int = Field(gt=0)
    """Rows of each list that the model keeps, the highest scores first."""
    top: int | None = Field(None, gt=0)
    """Rows of each list that the ranker puts first, and that are looked for; default: k."""
    by: str = LIST
    """Column whose equal values form a list. Default: the lists of `distill.candidates`."""
    score: str
    """Column of the ranker's scores; `teacher:<task>` is what the teachers of `distill` say."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Lists and scores."""
        return (self.by, self.score)


class RankerHitRate(Kept):
    """``|first k of the model and first t of the ranker| / t``, mean over lists of more than k and of t rows or more.

    Labels and sample weights do not count: candidates that nobody saw have none. Ties count against the model: of rows
    with equal scores those that the ranker puts lower come first. A row without a score of the ranker is its last.

    Source:
        The hit-rate of pre-ranking against the ranker's order: Wang et al., "COLD: towards the next generation of
        pre-ranking system", DLP-KDD 2020, section 4.
    """

    def update(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None, columns: Columns) -> None:
        """Keep scores and lists."""
        wanted = np.asarray(columns[self.config.score], np.float32)
        wanted = np.where(np.isnan(wanted), -np.inf, wanted)
        super().update(wanted, predictions, None, {name: columns[name] for name in self.columns})

    def compute(self) -> float:
        """The mean; NaN where there is no such list."""
        rows = self.rows()
        if rows is None:
            return float("nan")
        wanted, predictions, _ = rows
        codes, top = self.codes(self.config.by), self.config.top or self.config.k
        of_ranker = Lists.of(-predictions, wanted, None, codes)
        first = np.zeros(len(wanted), bool)
        first[of_ranker.order[of_ranker.position < top]] = True
        lists = Lists.of(wanted, predictions, None, codes)
        hits = lists.sum((first[lists.order] & (lists.position < self.config.k)).astype(np.float64))
        sizes = lists.sum(np.ones(len(wanted)))
        defined = (sizes > self.config.k) & (sizes >= top)
        return float((hits[defined] / top).mean()) if defined.any() else float("nan")
