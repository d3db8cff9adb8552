"""What items are called tells what their category is called besides: `Titles` and its config."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from easyrec.llm.items import batches_of
from easyrec.llm.naming.forms import folded
from easyrec.llm.naming.shares import Shares, Tokens
from easyrec.llm.templates import words
from feature_generator.config import StrictModel

USUAL = 0.2
"""A word that stands in this share of an id's titles counts as one of its name."""
RARE = 0.03
"""A word that stands in fewer of them counts for nothing."""


class TitlesConfig(StrictModel):
    """Items, whose titles tell by which words an id is known."""

    path: str = Field(min_length=1)
    """A table of Parquet, CSV or JSON lines, with a row for each item."""
    id: str = Field("category", min_length=1)
    """Its column of the ids that names are mapped to."""
    title: str = Field("title", min_length=1)
    """Its column of titles."""
    sample: int = Field(200, ge=10, le=10_000)
    """Titles of an id that are read."""


class Titles:
    """Reads titles.

    Args:
        config: Where they are.
        number: By id, which entry it is.
        find: Finds the words of a text.

    Attributes:
        vocabulary: Words as they stand that are usual for some id.

    Raises:
        ConfigError: The table lacks a column.
        DataError: It cannot be read.
    """

    def __init__(self, config: TitlesConfig, number: Mapping[Any, int], find: Callable[[str], list[str]]) -> None:
        read: Counter[int] = Counter()
        counts: dict[int, Counter[str]] = {}
        plain: dict[int, Counter[str]] = {}
        for batch in batches_of(Path(config.path), [config.id, config.title], "names.titles"):
            for key, title in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                entry = number.get(key)
                if entry is None or title is None or read[entry] >= config.sample:
                    continue
                read[entry] += 1
                text = folded(words(title))
                counts.setdefault(entry, Counter()).update(set(find(text)))
                plain.setdefault(entry, Counter()).update(set(text.split()))
        known: dict[str, int] = {}
        rows, values, tokens = [], [], []
        for entry, held in counts.items():
            for word, count in held.items():
                share = count / read[entry]
                if share >= RARE and count > 1:
                    rows.append(entry)
                    tokens.append(known.setdefault(word, len(known)))
                    values.append(min(share / USUAL, 1.0))
        self.tokens = Tokens(find, known)
        self.shares = Shares(
            np.array(rows, np.int64), np.array(tokens, np.int64), np.array(values, np.float32), len(number), len(known)
        )
        self.vocabulary = {
            word
            for entry, held in plain.items()
            for word, count in held.items()
            if count > 1 and count >= RARE * read[entry]
        }
