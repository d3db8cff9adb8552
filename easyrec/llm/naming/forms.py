"""Names as they are compared: folded, as a bag of stems, and as the levels of a path."""

from __future__ import annotations

import re
from collections.abc import Sequence

from easyrec.retrieval.keyword.words import DENSE, Words
from easyrec.retrieval.keyword.words import folded as keyword_folded

LONGEST = 200
"""Characters of a name that are looked at; a longer one is none."""
GAPS = re.compile(r"[\W_]+")
JOINED = re.compile(f"(?<=[{DENSE}]) (?=[{DENSE}])")
"""Gaps in scripts that have none."""


def folded(text: str) -> str:
    """Small letters of one width, without accents and marks, with single spaces."""
    text = keyword_folded(text).replace("'", "").replace("\u2019", "")
    return JOINED.sub("", GAPS.sub(" ", text).strip())


class Forms:
    """Makes the forms of names.

    Args:
        language: Whose plurals are alike.
        separator: What stands between the levels of a path.

    Raises:
        ConfigError: The language is not known.
        MissingExtra: The package PyStemmer is not installed.
    """

    def __init__(self, language: str | None, separator: str | None) -> None:
        self.words, self.separator = Words(language), separator

    def levels(self, name: str) -> list[str]:
        """The levels of a path, the highest first; of what is none, it alone."""
        parts = [name] if self.separator is None else name.split(self.separator)
        return [part.strip() for part in parts if part.strip()]

    def bag(self, levels: Sequence[str]) -> str:
        """The same for names that differ in case, accents, width, marks, plurals, small words and the order of words."""
        text = " ".join(folded(level) for level in levels)
        words = self.words(text) or text.split()
        return " ".join(sorted(words))

    def joined(self, levels: Sequence[str]) -> str:
        """The same for names that differ in where words begin, and are else as `bag` has them in one order."""
        text = " ".join(folded(level) for level in levels)
        return "".join(self.words(text) or text.split())
