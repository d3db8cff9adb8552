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
        """(n, 11) what is weighed."""
        typo = np.maximum(self.letters - NEAR, 0.0) / (1.0 - NEAR)
        above = np.maximum(self.meaning, 0.0)
        own = [self.meaning, above, self.words, self.covered, self.words * self.covered, self.titles, self.titles**2]
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
    both: float
    """Of names each of which has the words of the other."""
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
        return (1.0 / (1.0 + np.exp(-np.clip(logit, -30.0, 30.0)))).astype(np.float32)

    @classmethod
    def fitted(cls, near: Nearness, same: npt.NDArray[np.bool_]) -> Self:
        """The model that fits pairs, without bounds.

        Args:
            near: How near they are.
            same: (n,) whether they mean the same.
        """
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 (it loads slowly)

        model = LogisticRegression(max_iter=1000).fit(near.columns(), same)
        own = dict(zip(cls._weights(), (round(float(weight), 3) for weight in model.coef_[0]), strict=True))
        return cls(bias=round(float(model.intercept_[0]), 3), **own, threshold=0.5, margin=0.0)
