"""How alike hits are, by their vectors or by the words that follow each other in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from rag.chunkers import PIECES
from rag.knowledge import Hit, KnowledgeBase

By = Literal["vectors", "words"]
RUN = 3
"""Words that follow each other, of which shares are counted."""


def alike(base: KnowledgeBase, hits: Sequence[Hit], by: By) -> np.ndarray:
    """(n, n) float32 between 0 and 1: cosines, or shares of runs of words that two have in common.

    Where a chunk has no vector, words are compared.
    """
    if by == "vectors":
        parts = base.records.parts([hit.part.id for hit in hits], vectors=True)
        vectors = [parts[hit.part.id].vector if hit.part.id in parts else None for hit in hits]
        if all(vector is not None for vector in vectors):
            rows = np.stack([vector for vector in vectors if vector is not None]).astype(np.float32)
            rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
            cosines: np.ndarray = np.clip(rows @ rows.T, 0.0, 1.0)
            return cosines
    runs = [_runs(hit.text) for hit in hits]
    found = np.eye(len(hits), dtype=np.float32)
    for i, one in enumerate(runs):
        for j in range(i):
            found[i, j] = found[j, i] = len(one & runs[j]) / max(len(one | runs[j]), 1)
    return found


def _runs(text: str) -> set[tuple[str, ...]]:
    """Words that follow each other; of a short text all of it."""
    words = [word.casefold() for word in PIECES.findall(text)]
    return {tuple(words[at : at + RUN]) for at in range(max(len(words) - RUN + 1, 1))}
