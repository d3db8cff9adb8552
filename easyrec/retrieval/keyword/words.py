"""`Words`: a text as the words that are searched.

Words of scripts with spaces are folded (case, width, accents), common ones are left out, and the rest is stemmed. Chinese,
Japanese and Korean stand without spaces, or with endings: there each character is a word, and so are two neighbours.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from easyrec.errors import ConfigError, MissingExtra, nearest

DENSE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f"
"""Characters that are words by themselves."""
PARTS = re.compile(rf"[{DENSE}]+|[^\W_{DENSE}]+(?:['\u2019][^\W_{DENSE}]+)*")
IS_DENSE = re.compile(rf"[{DENSE}]")
PLAIN = re.compile(r"[\x00-\x7f]*\Z")
LONGEST = 64
"""Characters of a word; the rest of a longer one is cut off."""
ENGLISH = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be been but by did do does for from had has have he her his how i if in into is it its me my no "
        "not of on or our she so such than that the their them then there these they this to was we were what when where "
        "which who why will with would you your",
    )
)
"""Words that stand in most English texts."""


class Words:
    """Finds words.

    Args:
        language: Whose endings are cut off, as `english`; None: of none. Other languages in a text do no harm.

    Raises:
        ConfigError: The language is not known.
        MissingExtra: The package PyStemmer is not installed.
    """

    def __init__(self, language: str | None = "english") -> None:
        self.language = language
        self._common = ENGLISH if language == "english" else frozenset()
        self._stem = _stemmer(language)

    def __call__(self, text: str) -> list[str]:
        """The words of a text, in their order."""
        found: list[str] = []
        for part in PARTS.findall(folded(text)):
            if IS_DENSE.match(part):
                found += part
                found += [part[i : i + 2] for i in range(len(part) - 1)]
            else:
                word = _whole(part)
                if word not in self._common:
                    found.append(word)
        return self._stem(found)


def folded(text: str) -> str:
    """Small letters of one width and without accents."""
    if PLAIN.match(text):
        return text.lower()
    text = unicodedata.normalize("NFKC", text).casefold()
    parts = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFC", _MARKS.sub("", parts))


_MARKS = re.compile("(?<=[A-Za-z])[\u0300-\u036f]+")
"""Accents of Latin letters; in other scripts a mark can make another letter."""


def _whole(part: str) -> str:
    """A word without what English hangs on by an apostrophe."""
    for mark in ("'", "\u2019"):
        if mark in part:
            head, _, tail = part.rpartition(mark)
            part = (head if tail == "s" else part).replace(mark, "")
    return part[:LONGEST]


@lru_cache
def _stemmer(language: str | None) -> Callable[[Sequence[str]], list[str]]:
    if language is None:
        return list
    try:
        import Stemmer  # noqa: PLC0415 (an extra)
    except ImportError:
        raise MissingExtra("PyStemmer", "rag") from None
    known = Stemmer.algorithms()
    if language not in known:
        raise ConfigError(f"language '{language}' is not known{nearest(language, known)}; known: {', '.join(known)}")

    def stem(words: Sequence[str]) -> list[str]:
        made: Any = Stemmer.Stemmer(language)  # one for each call: it keeps words, and is for one thread
        return list(made.stemWords(words))

    return stem
