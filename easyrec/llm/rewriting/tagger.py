"""`Tagger`: which of some known names stand in a text."""

from __future__ import annotations

from collections.abc import Iterable

from easyrec.llm.rewriting.forms import Forms

LONGEST = 12
"""Words of a name; longer ones are not looked for."""


class Tagger:
    """Finds names by their words, endings aside. Where names overlap the longest one counts.

    Args:
        names: What is known, such as brands. Those without a letter, as numbers of categories, are never found.
        forms: How texts are compared.
    """

    def __init__(self, names: Iterable[str], forms: Forms) -> None:
        self._forms = forms
        self._names: dict[tuple[str, ...], str] = {}
        for name in names:
            words = tuple(forms.tokens(name))
            if 0 < len(words) <= LONGEST and any(letter.isalpha() for letter in name):
                self._names.setdefault(words, name)
        self._longest = max(map(len, self._names), default=0)

    def __call__(self, text: str) -> frozenset[str]:
        """The names in a text."""
        words, found, start = self._forms.tokens(text), set[str](), 0
        while start < len(words):
            for size in range(min(self._longest, len(words) - start), 0, -1):
                name = self._names.get(tuple(words[start : start + size]))
                if name is not None:
                    found.add(name)
                    start += size
                    break
            else:
                start += 1
        return frozenset(found)

    def same(self, name: str) -> str:
        """The name as this tagger tells it, which may have been written in another way."""
        return self._names.get(tuple(self._forms.tokens(name)), name)
