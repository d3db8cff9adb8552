"""What is wrong with a question that a model wrote: it must be answered by its text, stand by itself, and ask something new."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from easyrec.retrieval.keyword.words import DENSE, Words
from rag.evaluation.questions import Question, bare

Reason = Literal[
    "unparsed",
    "refused",
    "cut",
    "quote_not_found",
    "answer_not_found",
    "reveals_answer",
    "copied",
    "not_self_contained",
    "one_hop",
    "answerable",
    "duplicate",
]
PIECES = re.compile(rf"[{DENSE}]|[^\W_{DENSE}]+")
LEANS = re.compile(
    r"\b(?:according to|in|from|based on|mentioned in|described in|of) (?:the|this|these|that|above|following) (?:above |following |given |first |second )?"
    r"(?:text|texts|excerpt|excerpts|passage|passages|document|documents|context|paragraph|article|snippet)s?\b"
    r"|(?:上述|本文|上文|下文|文中|该段|这段|此段|原文|摘录|文段)",
    re.IGNORECASE,
)
"""How a question leans on a text that whoever asks has never seen."""
QUOTE = 8
"""Letters and digits of a quotation, at least; Chinese characters count twice."""
TOLD = 0.6
"""Share of an answer's words that must stand in its text."""
COPIED = 8.0
"""Words in a row, a Chinese character as a half, that a question may share with its text less than."""
SHORT_COPIED, MOST_OF_IT = 5.0, 0.7
"""The same where they are most of the question."""
ALIKE = 0.8
"""Share of common words from which on two questions are one."""


def pieces_of(text: str) -> list[str]:
    """Words and Chinese characters."""
    return PIECES.findall(text.casefold())


def length(pieces: Sequence[str]) -> float:
    """How long words are that stand in a row; a Chinese character is half a word."""
    return sum(0.5 if len(piece) == 1 and not piece.isascii() else 1.0 for piece in pieces)


def longest_common(first: Sequence[str], second: Sequence[str]) -> float:
    """The length of the longest run of words that both have."""
    best, row = 0.0, [0] * (len(second) + 1)
    for place, piece in enumerate(first):
        former, row = row, [0] * (len(second) + 1)
        for number, other in enumerate(second, 1):
            if piece == other:
                row[number] = former[number - 1] + 1
                run = row[number]
                if run > best:  # a run is at most as long as it has words
                    best = max(best, length(first[place + 1 - run : place + 1]))
    return best


class Filter:
    """Tells why questions cannot be used, each of them beside those that were taken before.

    Args:
        language: Whose endings words have.
    """

    def __init__(self, language: str | None) -> None:
        self._words = Words(language)
        self._taken: list[frozenset[str]] = []
        self._seen: set[str] = set()
        self._by_word: dict[str, list[int]] = {}

    def fault(self, question: Question, texts: Sequence[str], *, answered: bool = True) -> Reason | None:
        """Why a question cannot be used, if it cannot.

        Args:
            question: It, with a quotation for each of its references.
            texts: What the chunks say that it is about.
            answered: Whether they shall answer it.
        """
        if LEANS.search(question.question):
            return "not_self_contained"
        if answered:
            for reference in question.references:
                quote = bare(reference.quote)
                if _weight(quote) < QUOTE or not any(quote in bare(text) for text in texts):
                    return "quote_not_found"
            told = set(self._words(question.answer))
            said = {word for text in texts for word in self._words(text)}
            if not told or len(told & said) < TOLD * len(told):
                return "answer_not_found"
            if _weight(bare(question.answer)) >= 4 and bare(question.answer) in bare(question.question):
                return "reveals_answer"
        own = pieces_of(question.question)
        shared = max((longest_common(own, pieces_of(text)) for text in texts), default=0.0)
        if shared >= COPIED or (shared >= SHORT_COPIED and shared >= MOST_OF_IT * length(own)):
            return "copied"
        return None

    def is_new(self, question: Question) -> bool:
        """Whether nothing like it was taken; then it is taken."""
        said = "\n".join([*(turn.content for turn in question.history), question.question])
        words = frozenset(self._words(said))
        key = bare(said)
        if key in self._seen:
            return False
        # Two sets that share so much share one of the first words of each, in any order that both have.
        first = sorted(words)[: int((1.0 - ALIKE) * len(words)) + 1]
        near = {number for word in first for number in self._by_word.get(word, ())}
        if any(_alike(words, self._taken[number]) >= ALIKE for number in near):
            return False
        self._seen.add(key)
        for word in first:
            self._by_word.setdefault(word, []).append(len(self._taken))
        self._taken.append(words)
        return True


def _weight(text: str) -> int:
    """Letters and digits; Chinese characters count twice."""
    return sum(1 if letter.isascii() else 2 for letter in text)


def _alike(first: frozenset[str], second: frozenset[str]) -> float:
    return len(first & second) / max(len(first | second), 1)
