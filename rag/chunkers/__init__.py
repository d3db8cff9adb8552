"""Chunkers: blocks of a document as parts that are found and read by themselves.

One file per kind, each with a `Config` whose `chunks` gives the parts in reading order.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from pydantic import Field
from typing_extensions import Self

from easyrec.retrieval.keyword.words import DENSE
from feature_generator.config import StrictModel
from rag.document import Block, Place

PIECES = re.compile(rf"[{DENSE}]|[^\W{DENSE}]+|[^\w\s]")
LETTERS_PER_TOKEN = 6
"""Of a word, in the models that are in use; a longer word has several."""


@dataclass(frozen=True)
class Chunk:
    """A part of a document.

    Attributes:
        text: What it says.
        path: The headings above it, the highest first.
        places: Where it stands, one for each block that it is made of.
        kind: `text`, `table`, `code` or `figure`; `summary` of what sums up several.
        context: What is read in its place when it was found; None: itself.
    """

    text: str
    path: tuple[str, ...] = ()
    places: tuple[Place, ...] = ()
    kind: str = "text"
    context: str | None = None

    def searched(self) -> str:
        """What is searched: the headings belong to what stands below them."""
        return f"{' > '.join(self.path)}\n{self.text}" if self.path else self.text

    def digest(self) -> str:
        """Tells whether what it says has changed; where it stands may change with what stands before it."""
        return hashlib.sha256(replace(self, places=()).as_json().encode("utf-8", "surrogatepass")).hexdigest()

    def as_json(self) -> str:
        """All of it."""
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `as_json` wrote."""
        fields: dict[str, Any] = json.loads(text)
        places = tuple(
            Place(place["page"], None if place["box"] is None else tuple(place["box"]), place["line"])
            for place in fields.pop("places")
        )
        return cls(**{**fields, "path": tuple(fields["path"]), "places": places})

    def with_text(self, text: str) -> Self:
        """The same with other words, as somebody wrote them."""
        return replace(self, text=text)


class ChunkerConfig(StrictModel):
    """What configs of chunkers share."""

    size: int = Field(256, ge=16, le=8192)
    """Tokens of a chunk at most, about; what cannot be cut, such as a row of a table, may have more."""

    def chunks(self, blocks: Iterable[Block]) -> Iterator[Chunk]:
        """The parts of a document."""
        raise TypeError(f"{type(self).__module__} has no way to cut")


def tokens_in(text: str) -> int:
    """About how many tokens a text has."""
    return sum(1 + (len(piece) - 1) // LETTERS_PER_TOKEN for piece in PIECES.findall(text))


SENTENCE = re.compile(
    r".+?(?:[.!?\u2026]+[\"'\u201d\u2019)\]]*(?=\s)|[\u3002\uff01\uff1f\uff1b]+[\u201d\u2019\uff09\u300d\u300f]*|\n+|\Z)",
    re.DOTALL,
)
ABBREVIATION = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|prof|st|no|vs|etc|e\.g|i\.e|fig|eq|sec|vol|pp|al|approx|inc|ltd|jr|sr)|\b[a-z])\.$",
    re.IGNORECASE,
)


def sentences(text: str) -> list[str]:
    """The sentences of a text; joined again they are the text."""
    found: list[str] = []
    for part in SENTENCE.findall(text):
        if found and ABBREVIATION.search(found[-1].rstrip()) and not found[-1].endswith("\n"):
            found[-1] += part
        else:
            found.append(part)
    return found


def pieces(text: str, size: int) -> list[str]:
    """A text in parts of at most so many tokens: between sentences, and where one is longer, between words."""
    units: list[str] = []
    for sentence in sentences(text):
        units += [sentence] if tokens_in(sentence) <= size else _words(sentence, size)
    return packed(units, size)


def packed(units: Iterable[str], size: int, between: str = "") -> list[str]:
    """Units joined as long as they fit."""
    found: list[str] = []
    room = 0
    for unit in units:
        count = tokens_in(unit)
        if found and count <= room:
            found[-1] += between + unit
            room -= count
        else:
            found.append(unit)
            room = size - count
    return [part.strip() if not between else part for part in found if part.strip()]


def _words(text: str, size: int) -> list[str]:
    """A sentence in parts."""
    found: list[str] = []
    start, count = 0, 0
    for match in PIECES.finditer(text):
        tokens = 1 + (len(match.group()) - 1) // LETTERS_PER_TOKEN
        if count and count + tokens > size:
            found.append(text[start : match.start()])
            start, count = match.start(), 0
        count += tokens
    found.append(text[start:])
    longest = size * LETTERS_PER_TOKEN  # one word may be longer than all that fits
    return [part[at : at + longest] for part in found for at in range(0, len(part), longest)]
