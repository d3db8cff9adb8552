"""`structure`: along sections, paragraphs, items and rows; a table's header stands above each of its parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from rag.chunkers import Chunk, OverlappingConfig, figure_of, pieces, sentences_of, tokens_in
from rag.chunkers._parts import parts_of
from rag.document import Block, Body, Figure, Paragraph, Place, with_headings


class Config(OverlappingConfig):
    """Config of `structure`."""

    type: Literal["structure"] = "structure"

    def chunks(self, blocks: Iterable[Block]) -> Iterator[Chunk]:
        """The parts of a document. Short blocks of a section share a part; blocks of two sections never do."""
        held: _Held | None = None
        for path, block in with_headings(blocks):
            figure = figure_of(block) if isinstance(block, Figure) else None
            for kind, text in self._parts(block):
                if held is not None and not held.takes(path, kind, text, self.size):
                    yield held.chunk()
                    held = None
                held = held or _Held(path, kind, figure)
                held.add(text, block.place)
        if held is not None:
            yield held.chunk()

    def _parts(self, block: Body) -> Iterable[tuple[str, str]]:
        """A block in parts that fit, with their kinds."""
        if isinstance(block, Paragraph):
            return [("text", part) for part in self._repeated(pieces(block.text, self.size))]
        return parts_of(block, self.size)

    def _repeated(self, parts: list[str]) -> list[str]:
        """Parts that begin with the last sentences of the one before."""
        if not self.overlap:
            return parts
        found = parts[:1]
        for before, part in pairwise(parts):
            kept, room = "", self.overlap
            for sentence in reversed(sentences_of(before)):
                room -= tokens_in(sentence)
                if room < 0:
                    break
                kept = sentence + kept
            found.append(f"{kept.strip()} {part}" if kept.strip() else part)
        return found


@dataclass
class _Held:
    """A chunk that may grow."""

    path: tuple[str, ...]
    kind: str
    figure: str | None = None
    texts: list[str] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    tokens: int = 0

    def takes(self, path: tuple[str, ...], kind: str, text: str, size: int) -> bool:
        """Whether another text may stand in it."""
        alike = path == self.path and kind == self.kind == "text"
        return alike and self.tokens + tokens_in(text) <= size

    def add(self, text: str, place: Place) -> None:
        """Another text."""
        self.texts.append(text)
        self.tokens += tokens_in(text)
        if place not in self.places:
            self.places.append(place)

    def chunk(self) -> Chunk:
        """What it is now."""
        return Chunk("\n\n".join(self.texts), self.path, tuple(self.places), self.kind, figure=self.figure)
