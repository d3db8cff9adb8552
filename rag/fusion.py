"""Fusion: two lists of what was found as one."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from feature_generator.config import StrictModel

Found = tuple[np.ndarray, np.ndarray]
"""Numbers (n,) int64 and scores (n,) float32, the best first."""


class MinMax(StrictModel):
    """Scores of each list between 0 and 1, added by weight; what a list lacks has 0 there.

    It keeps how much better one entry is than the next, and with equal weights was better than each of its parts on every
    set that it was tried on.
    """

    type: Literal["minmax"] = "minmax"
    keyword: float = Field(0.5, ge=0.0, le=1.0)
    """Weight of the list that was found by words; the other one has the rest."""

    def weigh(self, vector: Found, keyword: Found) -> tuple[Found, Found]:
        """What each list gives to the sum."""
        return (vector[0], (1.0 - self.keyword) * _scaled(vector[1])), (keyword[0], self.keyword * _scaled(keyword[1]))


class RRF(StrictModel):
    """Reciprocal ranks: scores count for the order alone.

    Source:
        Cormack et al., "Reciprocal rank fusion outperforms Condorcet and individual rank learning methods", SIGIR 2009.
    """

    type: Literal["rrf"] = "rrf"
    keyword: float = Field(0.5, ge=0.0, le=1.0)
    """Weight of the list that was found by words; the other one has the rest."""
    k: float = Field(60.0, gt=0.0)
    """The larger, the less the first ranks count for."""

    def weigh(self, vector: Found, keyword: Found) -> tuple[Found, Found]:
        """What each list gives to the sum."""
        parts = ((vector[0], 1.0 - self.keyword), (keyword[0], self.keyword))
        first, second = ((numbers, w / (self.k + 1.0 + np.arange(len(numbers)))) for numbers, w in parts)
        return first, second


class DBSF(StrictModel):
    """Scores of each list by its mean and deviation: three deviations above the mean are 1, three below it are 0.

    Source:
        Mazzeschi, "Distribution-based score fusion (DBSF)", 2023.
    """

    type: Literal["dbsf"] = "dbsf"
    keyword: float = Field(0.5, ge=0.0, le=1.0)
    """Weight of the list that was found by words; the other one has the rest."""

    def weigh(self, vector: Found, keyword: Found) -> tuple[Found, Found]:
        """What each list gives to the sum."""
        parts = ((vector, 1.0 - self.keyword), (keyword, self.keyword))
        first, second = ((numbers, w * _standard(scores)) for (numbers, scores), w in parts)
        return first, second


Fusion = Annotated[MinMax | RRF | DBSF, Field(discriminator="type")]


def fused(vector: Found, keyword: Found, k: int, by: MinMax | RRF | DBSF) -> Found:
    """The best of two lists; of equal ones the smaller number first."""
    (a, a_scores), (b, b_scores) = by.weigh(vector, keyword)
    numbers, places = np.unique(np.concatenate([a, b]), return_inverse=True)
    scores = np.bincount(places, np.concatenate([a_scores, b_scores]), len(numbers))
    order = np.lexsort((numbers, -scores))[:k]
    return numbers[order].astype(np.int64), scores[order].astype(np.float32)


def _scaled(scores: np.ndarray) -> np.ndarray:
    """Between 0 and 1; where all are alike each is 1."""
    if not len(scores):
        return scores
    low, high = float(scores.min()), float(scores.max())
    return (scores - low) / (high - low) if high > low else np.ones_like(scores)


def _standard(scores: np.ndarray) -> np.ndarray:
    """Between 0 and 1 by mean and deviation."""
    if not len(scores):
        return scores
    deviation = float(scores.std())
    if deviation == 0.0:
        return np.full_like(scores, 0.5)
    found: np.ndarray = np.clip((scores - scores.mean()) / (6.0 * deviation) + 0.5, 0.0, 1.0)
    return found
