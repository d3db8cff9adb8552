"""`Calibration`: what makes a probability of how near two names are, by words, meaning and letters."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field
from typing_extensions import Self

from feature_generator.config import StrictModel

Floats = npt.NDArray[np.float32]
NEAR = 0.7
"""Names whose letters are more alike than this may differ by a typo."""

PENALTY, ROUNDS = 1e-5, 4000


class Nearness(NamedTuple):
    """How near the names of pairs are; (n,) each.

    Attributes:
        meaning: Cosine of their vectors, in standard deviations from how near different names of the catalogue are; 0 without
            vectors.
        words: The share of the name's words that the catalogue's one has, rare words counted more.
        covered: The share of the words of the catalogue's name that the name has.
        titles: The share of the name's words that stand in titles of the id's items; 0 without titles.
        groups: The share of groups of letters that both have.
        letters: One minus the edits by the length.
        mended: One minus the edits by the length that made known words of the name's.
    """

    meaning: Floats
    words: Floats
    covered: Floats
    titles: Floats
    groups: Floats
    letters: Floats
    mended: Floats

    def columns(self) -> Floats:
        """(n, 10) what is weighed."""
        typo = np.maximum(self.letters - NEAR, 0.0) / (1.0 - NEAR)
        above = np.maximum(self.meaning, 0.0)
        own = [self.meaning, above, self.words, self.covered, self.titles, self.titles**2]
        own += [self.groups, self.letters, typo, self.mended]
        return np.stack(own, axis=1).astype(np.float32)


class Calibration(StrictModel):
    """A logistic model of whether two names mean the same, and the bounds that go with it."""

    bias: float
    meaning: float
    above: float
    """Of `meaning` where names are nearer than different ones usually are."""
    words: float
    covered: float
    titles: float
    all_titles: float
    """Of names nearly all of whose words stand in titles."""
    groups: float
    letters: float
    typo: float
    """Of letters that are alike but for an edit or two."""
    mended: float
    threshold: float = Field(ge=0.0, le=1.0)
    margin: float = Field(ge=0.0, le=1.0)

    @classmethod
    def _weights(cls) -> list[str]:
        """What the columns of `Nearness` are weighed by, in their order."""
        return [name for name in cls.model_fields if name not in ("bias", "threshold", "margin")]

    def score(self, near: Nearness) -> Floats:
        """(n,) the probability that the names of a pair mean the same."""
        own = [getattr(self, name) for name in self._weights()]
        logit = near.columns() @ np.asarray(own, np.float32) + self.bias
        score: Floats = (1.0 / (1.0 + np.exp(-np.clip(logit, -30.0, 30.0)))).astype(np.float32)
        return score

    @classmethod
    def fitted(cls, near: Nearness, same: npt.NDArray[np.bool_]) -> Self:
        """The model that fits pairs, without bounds.

        Args:
            near: How near they are.
            same: (n,) whether they mean the same.
        """
        weights, bias = _fit(near.columns(), same.astype(np.float32))
        own = dict(zip(cls._weights(), (round(float(weight), 3) for weight in weights), strict=True))
        return cls(bias=round(bias, 3), **own, threshold=0.5, margin=0.0)


def _fit(columns: Floats, same: Floats) -> tuple[Floats, float]:
    """Weights of a logistic model none of which is negative: nothing that brings names nearer may make them farther.

    By accelerated projected gradients; the columns lie between 0 and 1 but for `meaning`, which is scaled.
    """
    scale = np.maximum(np.abs(columns).max(axis=0), 1e-6)
    x = np.concatenate([columns / scale, np.ones((len(columns), 1), np.float32)], axis=1).astype(np.float64)
    step = 4.0 / (np.linalg.norm(x, 2) ** 2 / len(x) + PENALTY)
    now = ahead = np.zeros(x.shape[1])
    for turn in range(ROUNDS):
        wrong = 1.0 / (1.0 + np.exp(-np.clip(x @ ahead, -30.0, 30.0))) - same
        slope = x.T @ wrong / len(x)
        slope[:-1] += PENALTY * ahead[:-1]
        then = ahead - step * slope
        then[:-1] = np.maximum(then[:-1], 0.0)
        now, ahead = then, then + turn / (turn + 3.0) * (then - now)
    return (now[:-1] / scale).astype(np.float32), float(now[-1])
