"""What is asked about, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Reason = Literal["empty", "unfit", "long", "duplicate", "brand", "category", "far", "near", "no_bid_word"]
"""Why a rewrite is not taken; of several reasons the first one of these."""
WEIGHTS = {"exact": 1.0, "normalised": 0.98, "words": 0.95, None: 0.8}
"""By how a rewrite is a bid word, what its score is multiplied with: what nobody pays for is worth less."""


@dataclass(frozen=True)
class Ask:
    """A query.

    Attributes:
        query: What was searched.
        category: Its category; None: it is not known.
        brand: The brand that it names, if that is known.
        count: How often it was searched.
    """

    query: str
    category: str | None = None
    brand: str | None = None
    count: float = 1.0


@dataclass(frozen=True)
class Rewrite:
    """A query that may stand for another one.

    Attributes:
        text: It.
        score: From 0 to 1: its nearness times a weight by how it is a bid word. Without vectors its place in the model's answer
            stands for nearness.
        bid_word: The bid word that it is; None: it is none.
        match: How closely.
        similarity: Cosine of its vector and the query's; None: there are no vectors.
    """

    text: str
    score: float
    bid_word: str | None = None
    match: str | None = None
    similarity: float | None = None


@dataclass(frozen=True)
class Rejected:
    """A rewrite that is not taken.

    Attributes:
        text: It.
        reason: Why.
        bid_word: The bid word that it is, where it is one.
        match: How closely.
        similarity: Cosine of its vector and the query's, where there are vectors.
    """

    text: str
    reason: Reason
    bid_word: str | None = None
    match: str | None = None
    similarity: float | None = None


@dataclass(frozen=True)
class Made:
    """What came of a query.

    Attributes:
        ask: It.
        kept: Rewrites that are taken, the best first.
        rejected: Those that are not, in the model's order.
        answered: Whether the model said what can be used.
    """

    ask: Ask
    kept: tuple[Rewrite, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    answered: bool = True
