"""Vectors of texts that are made once, and read from a file by the next command."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from easyrec.llm.client.asked import key_of
from easyrec.llm.client.cache import Cache
from easyrec.llm.embedders import Embedder

AT_ONCE = 4096
"""Texts whose vectors are made and kept at a time: a stopped command goes on after them."""


def remembered(
    embedder: Embedder, cache: Cache, texts: Sequence[str], progress: Callable[[int], object] | None = None
) -> np.ndarray:
    """Vectors of queries; those that are in the file are read, the others are made and kept.

    Args:
        embedder: Makes them.
        cache: The file.
        texts: The queries.
        progress: Is told how many more are there.

    Returns:
        (n, d) float32; of no text (0, 0).
    """
    parts: list[np.ndarray] = []
    for start in range(0, len(texts), AT_ONCE):
        some = texts[start : start + AT_ONCE]
        keys = [key_of("query", embedder.digest, text) for text in some]
        found = cache.vectors(list(dict.fromkeys(keys)))
        missing = {key: text for key, text in zip(keys, some, strict=True) if key not in found}
        if missing:
            made = dict(zip(missing, embedder.queries(list(missing.values())), strict=True))
            cache.keep_vectors(made)
            found |= made
        parts.append(np.stack([found[key] for key in keys]))
        if progress is not None:
            progress(len(some))
    return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)
