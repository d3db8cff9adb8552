"""How good rewrites are: whether they are bid on, near to their queries, and unlike each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from easyrec.intervals import Interval, interval
from easyrec.llm.rewriting.forms import Forms
from easyrec.llm.rewriting.rewrites import Made

TOLD = {
    "coverage": "queries with a rewrite",
    "bid_coverage": "queries with a rewrite that is a bid word",
    "bid_rate": "rewrites that are bid words, of those taken",
    "bid_rate_written": "rewrites that are bid words, of all that were written",
    "taken": "rewrites that are taken, of all that were written",
    "similarity": "cosine of rewrite and query",
    "distance": "distance of two rewrites of a query, 1 - cosine",
    "distinct": "different words of a query's rewrites, of all their words",
}
"""What is measured. Each is a mean over queries, of those of which it can be told."""


@dataclass(frozen=True)
class Quality:
    """What was measured.

    Attributes:
        queries: How many there are.
        means: By name, see `TOLD`: the mean over queries and its interval. A `count` of 0 says that it can be told of none.
        traffic: Share of the searches of these queries whose query has a rewrite.
    """

    queries: int
    means: dict[str, Interval]
    traffic: float

    def as_json(self) -> dict[str, Any]:
        """For a report."""
        told = {name: asdict(found) for name, found in self.means.items() if found.count}
        return {"queries": self.queries, "traffic": self.traffic, **told}


def measured(
    made: Sequence[Made], forms: Forms, vectors: Callable[[Sequence[str]], np.ndarray | None], *, level: float = 0.95
) -> Quality:
    """Measure rewrites.

    Args:
        made: Queries with their rewrites.
        forms: What words are.
        vectors: Makes vectors of length 1 of texts, or None where there is no embedder.
        level: How often the intervals hold the true means.
    """
    values: dict[str, list[float]] = {name: [] for name in TOLD}
    texts = [rewrite.text for one in made for rewrite in one.kept]
    known = vectors(texts) if texts else None
    start = 0
    for one in made:
        count = len(one.kept)
        own = None if known is None else known[start : start + count]
        start += count
        for name, value in _of_query(one, forms, own).items():
            values[name].append(value)
    searches = sum(one.ask.count for one in made)
    traffic = sum(one.ask.count for one in made if one.kept) / searches if searches else 0.0
    return Quality(len(made), {name: interval(found, level) for name, found in values.items()}, traffic)


def _of_query(one: Made, forms: Forms, vectors: np.ndarray | None) -> dict[str, float]:
    """What can be told of a query."""
    kept, written = one.kept, len(one.kept) + len(one.rejected)
    bid = sum(rewrite.bid_word is not None for rewrite in kept)
    found = {"coverage": float(bool(kept)), "bid_coverage": float(bid > 0)}
    if written:
        all_bid = bid + sum(rewrite.bid_word is not None for rewrite in one.rejected)
        found |= {"bid_rate_written": all_bid / written, "taken": len(kept) / written}
    if kept:
        words = [word for rewrite in kept for word in forms.tokens(rewrite.text)]
        found["bid_rate"] = bid / len(kept)
        if words:
            found["distinct"] = len(set(words)) / len(words)
        near = [rewrite.similarity for rewrite in kept if rewrite.similarity is not None]
        if near:
            found["similarity"] = sum(near) / len(near)
    if vectors is not None and len(kept) > 1:
        pairs = np.triu_indices(len(kept), 1)
        found["distance"] = float(1.0 - (vectors @ vectors.T)[pairs].mean())
    return found
