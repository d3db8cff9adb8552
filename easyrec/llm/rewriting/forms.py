"""Queries as they are compared: cleaned, folded, and as bags of words."""

from __future__ import annotations

import re

from easyrec.llm.telling import seen
from easyrec.retrieval.keyword.words import IS_DENSE, PARTS, Words, folded

GAPS = re.compile(r"\s+")
UNFIT = re.compile(r"://|[<>{}\[\]|\\`]")
"""What stands in addresses and code, and in no query."""


def cleaned(text: str) -> str:
    """A text on one line, without what people do not see."""
    return GAPS.sub(" ", seen(text)).strip()


class Forms:
    """Makes them.

    Args:
        language: Whose endings are cut off; None: of none.

    Raises:
        ConfigError: The language is not known.
        MissingExtra: The package PyStemmer is not installed.
    """

    def __init__(self, language: str | None) -> None:
        self._words = Words(language)

    @staticmethod
    def normal(text: str) -> str:
        """The same for texts that differ in case, accents, width and marks."""
        return " ".join(PARTS.findall(folded(text)))

    def tokens(self, text: str) -> list[str]:
        """Its words in their order, without endings; of scripts without spaces each character."""
        found: list[str] = []
        for part in PARTS.findall(folded(text)):
            found += part if IS_DENSE.match(part) else self._words(part)
        return found

    def bag(self, text: str) -> str:
        """The same for texts that have the same words; of what has none, its normal form."""
        return " ".join(sorted(set(self.tokens(text)))) or self.normal(text)
