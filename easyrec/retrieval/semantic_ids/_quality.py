"""Codes that tell all items apart, and how good they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from easyrec.retrieval.semantic_ids import Quantized


def resolved(codes: np.ndarray) -> np.ndarray:
    """(N, M + 1), the codes and behind them, for items of equal codes, 0, 1, 2, .. in their order.

    Source:
        Rajput et al., NeurIPS 2023, section 3.1, "Handling Collisions".
    """
    _, which, counts = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    which = which.reshape(-1)
    order = np.argsort(which, kind="stable")
    turn = np.empty(len(codes), np.int64)
    turn[order] = np.arange(len(codes)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.column_stack([codes, turn])


def quality(found: Quantized, codes: int) -> dict[str, Any]:
    """What the codes tell of the items, before those of equal codes are told apart.

    Args:
        found: The codes.
        codes: Codes of a level.

    Returns:
        `items`; `unique`, different codes over items; `alike`, the most items of equal codes; and by level the codes that
        are `used`, their `entropy` in bits with its `perplexity` 2^entropy, the share of variance that codes up to this
        level leave `unexplained`, and how many items have each code, `counts`.
    """
    _, sizes = np.unique(found.codes, axis=0, return_counts=True)
    levels = []
    for level, unexplained in enumerate(found.unexplained.tolist()):
        counts = np.bincount(found.codes[:, level], minlength=codes)
        shares = counts[counts > 0] / len(found.codes)
        entropy = float(-(shares * np.log2(shares)).sum())
        levels.append(
            {
                "used": int((counts > 0).sum()),
                "entropy": entropy,
                "perplexity": 2.0**entropy,
                "unexplained": unexplained,
                "counts": counts.tolist(),
            }
        )
    alike = int(sizes.max())
    return {"items": len(found.codes), "unique": len(sizes) / len(found.codes), "alike": alike, "levels": levels}
