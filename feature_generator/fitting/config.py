"""The key `fit` of a feature: what it learns from data."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from feature_generator.config import StrictModel


class WordsFit(StrictModel):
    """Which words are kept."""

    min_count: int = Field(1, ge=1)
    """Words that are seen less often are left out. Of `doc_freq`: titles that hold the word."""
    top_k: int | None = Field(None, ge=1)
    """At most this many words, the most frequent ones; of equally frequent ones the first in the order of UTF-8."""


class BoundariesFit(StrictModel):
    """How the edges of buckets are chosen."""

    method: Literal["quantile", "uniform", "tree"] = "quantile"
    """Buckets of as many values each, of equal width, or the leaves of a decision tree on the label."""
    buckets: int = Field(20, ge=2, le=100_000)
    """Most buckets; there are fewer where the values do not tell as many apart."""
    min_rows: int = Field(100, ge=1)
    """Of `tree`: values that a bucket holds at least."""


class FitConfig(StrictModel):
    """What a feature learns."""

    vocabulary: WordsFit | None = None
    """Learn the words that get an id of their own."""
    boundaries: BoundariesFit | None = None
    """Learn boundaries."""
    normalizer: Literal["zscore", "minmax"] | None = None
    """Learn mean and standard deviation, or minimum and maximum."""
    doc_freq: WordsFit | None = None
    """Of `bm25`, which learns it under an empty `fit` too: avg_length, doc_count and doc_freq of the titles."""


Part = Literal["vocabulary", "boundaries", "normalizer", "doc_freq"]
PARTS: tuple[Part, ...] = ("vocabulary", "boundaries", "normalizer", "doc_freq")
