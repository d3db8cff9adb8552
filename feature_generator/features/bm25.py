"""`bm25`: how well a title answers a query, by the rarity of the words that they share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, PrivateAttr, field_validator
from typing_extensions import override

from feature_generator.features import Operator, Sided, Source, named_file
from feature_generator.numeric import NumericConfig
from feature_generator.values import as_text


class Config(NumericConfig):
    """Config of `bm25`."""

    single_input: ClassVar[bool] = False

    type: Literal["bm25"] = "bm25"
    query: Sided = ""
    """The column with the query's words, as `side:name`."""
    title: Sided = ""
    """The column with the title's words, as `side:name`."""
    k1: float = Field(1.2, ge=0)
    """How much a word counts that a title has more than once: 0 once, more the higher."""
    b: float = Field(0.75, ge=0, le=1)
    """How much the length of a title counts: 0 not at all, 1 in full."""
    avg_length: float | None = Field(None, gt=0)
    """Words of an average title."""
    doc_count: int | None = Field(None, ge=1)
    """How many titles were counted."""
    doc_freq: dict[str, int] | None = Field(None, min_length=1)
    """Word -> how many of the titles hold it. Words that are missing are held by none."""
    doc_freq_file: str | None = None
    """File with a word, a tab and its count on every line, in place of doc_freq."""
    value_dim: int | None = Field(None, ge=1, le=1)
    """Always 1: the feature is one number."""
    _counts: dict[str, int] = PrivateAttr(default_factory=dict)

    @field_validator("doc_freq", mode="before")
    @classmethod
    def _words(cls, value: Any) -> Any:
        return {str(k) if isinstance(k, int) else k: v for k, v in value.items()} if isinstance(value, dict) else value

    @override
    def problems(self, encoded: bool) -> list[tuple[str, str]]:
        problems = super().problems(encoded)
        if encoded:
            return problems
        problems += [
            (key, "this key is required, as side:name") for key in ("query", "title") if not getattr(self, key)
        ]
        if self.avg_length is None:
            problems.append(("avg_length", "this key is required: the words of an average title"))
        if self.doc_count is None:
            problems.append(("doc_count", "this key is required: how many titles doc_freq was counted on"))
        if (self.doc_freq is None) == (self.doc_freq_file is None):
            both = self.doc_freq is not None
            key = "doc_freq_file" if both else "doc_freq"
            problems.append((key, f"give exactly one of doc_freq and doc_freq_file{'' if not both else ', not both'}"))
        try:
            self._check(self.doc_freq or {})
        except ValueError as error:
            problems.append(("doc_freq", str(error)))
        return problems

    def _check(self, counts: dict[str, int]) -> None:
        for word, count in counts.items():
            if count < 0 or (self.doc_count is not None and count > self.doc_count):
                raise ValueError(f"'{word}' is in {count} titles, but doc_count is {self.doc_count}")

    @property
    @override
    def sources(self) -> Sequence[Source]:
        return [Source.of(self.query or f"user:{self.name}"), Source.of(self.title or f"item:{self.name}")]

    @property
    @override
    def files(self) -> dict[str, str]:
        return {"doc_freq_file": self.doc_freq_file} if self.doc_freq_file is not None else {}

    @override
    def compile(self, default: str, sequence: bool, folder: Path | None = None) -> Operator:
        if self.avg_length is None or self.doc_count is None:  # encoded: nothing is scored
            return Operator("copy", numbers=self.numbers())
        counts = self.doc_freq
        if self.doc_freq_file is not None:
            counts = read_counts(named_file(self.doc_freq_file, folder))
            self._check(counts)
        self._counts = counts or {}
        parameters = {
            "words": list(self._counts),
            "weights": [self.weight(word) for word in self._counts],
            "unknown": self.weight(""),
            "k1": self.k1,
            "b": self.b,
            "avg_length": self.avg_length,
        }
        return Operator("bm25", parameters, numbers=self.numbers())

    def weight(self, word: str) -> float:
        """`ln(1 + (N - n + 0.5) / (n + 0.5))` of a word in n of N titles."""
        assert self.doc_count is not None
        count = self._counts.get(word, 0)
        return math.log(1 + (self.doc_count - count + 0.5) / (count + 0.5))

    @override
    def reference(self, inputs: list[list[Any]]) -> list[Any]:
        """Sum over the query's words of `idf * f * (k1 + 1) / (f + k1 * (1 - b + b * |title| / avg_length))`.

        Source:
            Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009, eq. (3.15), with the idf that is
            never negative.
        """
        query, title = ([as_text(value) for value in values] for values in inputs)
        if not query or not title or self.avg_length is None:
            return []
        score = 0.0
        for word in query:
            times = title.count(word)
            damping = self.k1 * (1 - self.b + self.b * len(title) / self.avg_length)
            if times:
                score += self.weight(word) * times * (self.k1 + 1) / (times + damping)
        return [score]


def read_counts(path: Path) -> dict[str, int]:
    """Word -> count of a file with a word, a tab and a count on every line.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is empty, is not UTF-8, has a line of another form, or a word twice.
    """
    counts: dict[str, int] = {}
    for number, line in enumerate(path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n").split("\n"), 1):
        if not line:
            continue
        word, _, count = line.rpartition("\t")
        if not word or not (count.isascii() and count.isdigit()):
            raise ValueError(f"line {number} of {path} must be a word, a tab and a count, but is {line!r}")
        if word in counts:
            raise ValueError(f"line {number} of {path} has the word '{word}' again")
        counts[word] = int(count)
    if not counts:
        raise ValueError(f"the file {path} holds no word")
    return counts
