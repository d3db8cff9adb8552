"""Rows of a table that another kind of table had: by the words or numbers whose ids they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from feature_generator import FeatureGenerator, OutputSpec
from feature_generator.discretizer import HASHES, Discretizer, IdConfig
from feature_generator.dynamic import KEYS


def spec_of(generator: FeatureGenerator, table: str) -> OutputSpec | None:
    """A feature that looks up in a table."""
    outputs = generator.outputs.values()
    return next((s for s in outputs if s.embedding_name == table and s.kind.startswith("sparse")), None)


def keys_of(generator: FeatureGenerator, table: str) -> tuple[np.ndarray, np.ndarray] | str:
    """(n,) ids of a table whose words or numbers are known, and the keys that these have in a dynamic table.

    Returns:
        Both, or why they cannot be told.
    """
    found = _discretizer(generator, table)
    if isinstance(found, str):
        return found
    hashed: Callable[[bytes], Any] = HASHES[generator.config.hash]
    if found.kind == "range":
        texts = {str(i): i for i in range(found.size)}
    elif found.kind == "vocabulary":
        texts = found.words
    else:
        return "its ids are hashes, which do not tell the words"
    keys = np.array([int(hashed(text.encode())) % KEYS for text in texts], np.int64)
    return np.fromiter(texts.values(), np.int64, len(texts)), keys


def ids_of(generator: FeatureGenerator, table: str, keys: np.ndarray) -> np.ndarray | str:
    """(n,) ids in a table, -1 for none, of keys of a dynamic one.

    Returns:
        Them, or why they cannot be told.
    """
    found = _discretizer(generator, table)
    if isinstance(found, str):
        return found
    if found.kind == "hash":
        if found.size & (found.size - 1):
            return f"hashes modulo {found.size:,} cannot be told from those modulo 2^62; powers of two can"
        return keys % found.size
    told = keys_of(generator, table)
    if isinstance(told, str):
        return told
    ids, theirs = told
    order = np.argsort(theirs)
    at = np.minimum(np.searchsorted(theirs, keys, sorter=order), len(theirs) - 1)
    return np.where(theirs[order[at]] == keys, ids[order[at]], -1) if len(theirs) else np.full(len(keys), -1)


def _discretizer(generator: FeatureGenerator, table: str) -> Discretizer | str:
    spec = spec_of(generator, table)
    if spec is None or not isinstance(spec.config, IdConfig):
        return "no feature of ids tells what its ids stand for"
    try:
        return spec.config.discretizer(generator.config.hash, spec.config.default_value, generator.folder)
    except (OSError, ValueError) as error:
        return f"its vocabulary cannot be read: {error}"
