"""`Grounds`: whether what a model claims stands in what it was told."""

from __future__ import annotations

from collections.abc import Iterable

from easyrec.llm.naming.forms import folded
from easyrec.retrieval.keyword.words import Words


class Grounds:
    """Compares claims with texts by their words: case, accents, endings and small words do not count.

    Args:
        language: Whose endings are cut off; None: of none.

    Raises:
        ConfigError: The language is not known.
        MissingExtra: The package PyStemmer is not installed.
    """

    def __init__(self, language: str | None) -> None:
        self._words = Words(language)

    def words(self, *texts: str) -> frozenset[str]:
        """The words of texts."""
        return frozenset(word for text in texts for word in self._words(text))

    def share(self, claim: str, told: frozenset[str]) -> float:
        """Of the words of a claim, how many of them were told; 0 where it has none."""
        words = self.words(claim)
        return len(words & told) / len(words) if words else 0.0

    def touches(self, claim: str, told: Iterable[str]) -> bool:
        """Whether they have a word in common."""
        return not self.words(claim).isdisjoint(told)

    def quotes(self, quote: str, text: str) -> bool:
        """Whether a text has these words one after another; a quote of no words is none."""
        return bool(self._words(quote)) and f" {folded(quote)} " in f" {folded(text)} "
