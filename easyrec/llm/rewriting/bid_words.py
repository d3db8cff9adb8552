"""`BidWords`: what advertisers pay for, matched with rewrites, and found by the words of a query."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from typing_extensions import Self

from easyrec.llm.rewriting.forms import Forms
from easyrec.retrieval.keyword.index import KeywordIndex

Match = Literal["exact", "normalised", "words"]
MATCHES: tuple[Match, ...] = ("exact", "normalised", "words")
"""From the closest to the loosest."""
LOOKED_AT = 50
"""Bid words that share words with a query, of which those inside of it are chosen."""


class BidWords:
    """Bid words. Any number of threads may ask. Of those that cannot be told apart the first one counts.

    Args:
        words: The bid words.
        forms: How texts are compared.
        language: Whose endings are cut off where they are found by their words.

    Raises:
        MissingExtra: What finds words is not installed: the extra `rag`.
    """

    def __init__(self, words: Sequence[str], forms: Forms, language: str | None = "english") -> None:
        self.words, self._forms = list(dict.fromkeys(words)), forms
        self._tokens = [frozenset(forms.tokens(word)) for word in self.words]
        self._by: dict[Match, dict[str, int]] = {match: {} for match in MATCHES}
        for number, word in enumerate(self.words):
            for match in MATCHES:
                self._by[match].setdefault(self._form(word, match), number)
        self._folder = tempfile.TemporaryDirectory(prefix="easyrec-bid-words-")
        self._index = KeywordIndex(Path(self._folder.name) / "words", language)
        self._index.add(range(len(self.words)), self.words)
        self._index.commit()
        self._index.close()

    def __len__(self) -> int:
        return len(self.words)

    def close(self) -> None:
        """Let go of the index of words."""
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def match(self, text: str, loosest: Match = "words") -> tuple[str, Match] | None:
        """The bid word that a text is, and how closely.

        Args:
            text: A rewrite.
            loosest: What counts.
        """
        for match in MATCHES[: MATCHES.index(loosest) + 1]:
            number = self._by[match].get(self._form(text, match))
            if number is not None:
                return self.words[number], match
        return None

    def near(self, query: str, count: int) -> list[str]:
        """Those that share words with a query, the best first."""
        numbers, _ = self._index.search(query, count)
        return [self.words[number] for number in numbers.tolist()]

    def inside(self, query: str, count: int) -> list[tuple[str, float]]:
        """Those all of whose words the query has, and what share of its words they are; the largest first.

        A search for `red nike running shoes` may show what is advertised for `nike shoes`, but not what is for `shoe polish`.
        """
        own = frozenset(self._forms.tokens(query))
        numbers, _ = self._index.search(query, LOOKED_AT)
        found = [
            (self.words[number], len(self._tokens[number]) / len(own))
            for number in numbers.tolist()
            if self._tokens[number] and self._tokens[number] <= own
        ]
        return sorted(found, key=lambda entry: -entry[1])[:count]

    def _form(self, text: str, match: Match) -> str:
        if match == "exact":
            return text.strip()
        return self._forms.normal(text) if match == "normalised" else self._forms.bag(text)
