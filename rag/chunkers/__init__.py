"""Chunkers: blocks of a document as parts that are found and read by themselves.

One file per kind, each with a `Config` whose `chunks` gives the parts in reading order.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, TypeAlias

import numpy as np
from pydantic import Field, model_validator
from typing_extensions import Self

from easyrec.retrieval.keyword.words import DENSE
from feature_generator.config import StrictModel
from rag.document import Block, Figure, Place
from rag.figures import digest_of, type_of

Embed: TypeAlias = Callable[[Sequence[str]], np.ndarray]
"""Vectors of texts; (n, d) float32."""
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
        figure: Of a picture that is kept: what tells it apart.
    """

    text: str
    path: tuple[str, ...] = ()
    places: tuple[Place, ...] = ()
    kind: str = "text"
    context: str | None = None
    figure: str | None = None

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
        return replace(self, text=text, context=self.with_read(self.text, text).context)

    def with_read(self, former: str, text: str) -> Self:
        """The same, where somebody changed a part of what is read in its place."""
        if self.context is None or not former or former not in self.context:
            return self
        return replace(self, context=self.context.replace(former, text, 1))


class ChunkerConfig(StrictModel):
    """What configs of chunkers share."""

    family: ClassVar[str] = "rag.chunkers"
    embeds: ClassVar[bool] = False
    """Whether it asks the knowledge base's embedder."""

    size: int = Field(256, ge=16, le=8192)
    """Tokens of a chunk at most, about; what cannot be cut, such as a row of a table, may have more."""

    def cut(self, blocks: Iterable[Block], embed: Embed | None) -> Iterator[Chunk]:
        """The parts of a document.

        Args:
            blocks: It.
            embed: Vectors of texts, for those that ask for them.
        """
        return self.chunks(blocks)

    def chunks(self, blocks: Iterable[Block]) -> Iterator[Chunk]:
        """The parts of a document."""
        raise TypeError(f"{type(self).__module__} has no way to cut")


def figure_of(figure: Figure) -> str | None:
    """What tells the picture of a figure apart, if it has one that is kept."""
    return digest_of(figure.content) if figure.content is not None and type_of(figure.content) else None


class OverlappingConfig(ChunkerConfig):
    """What configs of chunkers share whose parts repeat the end of the part before."""

    overlap: int = Field(0, ge=0)
    """Tokens of whole sentences at most that a part repeats from the part before it."""

    @model_validator(mode="after")
    def _overlap_is_small(self) -> Self:
        if self.overlap * 2 > self.size:
            raise ValueError(f"'overlap' is {self.overlap}, but at most half of 'size' ({self.size}) can be repeated")
        return self


def tokens_in(text: str) -> int:
    """About how many tokens a text has."""
    return sum(1 + (len(piece) - 1) // LETTERS_PER_TOKEN for piece in PIECES.findall(text))


STOP = re.compile(r"[.!?\u2026]+[\"'\u201d\u2019)\]]*|[\u3002\uff01\uff1f\uff1b]+[\u201d\u2019\uff09\u300d\u300f]*|\n+")
"""What may end a sentence. Each run of such marks is looked at once: no text takes longer than its length says."""
ABBREVIATION = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|prof|st|no|vs|etc|e\.g|i\.e|fig|eq|sec|vol|pp|al|approx|inc|ltd|jr|sr)|\b[a-z])\.$",
    re.IGNORECASE,
)
LONGEST = 16
"""Characters before the end of a sentence in which an abbreviation is looked for."""


def sentences_of(text: str) -> list[str]:
    """The sentences of a text; joined again they are the text."""
    found: list[str] = []
    begun = 0
    for match in STOP.finditer(text):
        end = match.end()
        if match.start() == begun:  # a sentence has something before its end
            continue
        mark = text[match.start()]
        if mark in ".!?\u2026" and end < len(text) and not text[end].isspace():
            continue
        if mark != "\n" and ABBREVIATION.search(text[max(begun, end - LONGEST) : end]):
            continue
        found.append(text[begun:end])
        begun = end
    if begun < len(text):
        found.append(text[begun:])
    return found


def pieces(text: str, size: int) -> list[str]:
    """A text in parts of at most so many tokens: between sentences, and where one is longer, between words."""
    units: list[str] = []
    for sentence in sentences_of(text):
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
