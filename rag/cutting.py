"""Cutting: a file's blocks as chunks, with what is bounded of every file, wherever it is read."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from easyrec.errors import DataError
from rag.chunkers import Chunk, ChunkerConfig
from rag.config import ReadingConfig
from rag.document import Block, Bullets, Code, Figure, Heading, Paragraph, Table
from rag.figures import digest_of, type_of
from rag.readers import ReaderConfig
from rag.readers._reading import counted


@dataclass
class Bounds:
    """Counts what a file gives, and refuses what is too much.

    Args:
        path: The file.
        limits: What is too much.

    Attributes:
        pictures: What was met of pictures, by their digests; whoever takes them clears it.
        left_out: Pictures that there was no room for.
    """

    path: Path
    limits: ReadingConfig
    pictures: dict[str, bytes] = field(default_factory=dict)
    left_out: int = 0
    _seen: set[str] = field(default_factory=set)
    _room: int | None = None
    _text: int = 0
    _chunks: int = 0

    def blocks(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """The same blocks, of which no text is too much, and the pictures in them."""
        for block in blocks:
            self._count(sum(map(len, texts_of(block))))
            yield self._figure(block) if isinstance(block, Figure) else block

    def chunks(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """The same chunks, not too many, in characters that can be written anywhere."""
        for chunk in chunks:
            self._chunks += 1
            if self._chunks > self.limits.max_chunks:
                raise DataError(
                    f"{self.path}: has more than {self.limits.max_chunks} chunks (knowledge.reading.max_chunks)"
                )
            yield clean(chunk)

    def _count(self, characters: int) -> None:
        self._text += characters
        if self._text > self.limits.max_text_mb << 20:
            raise DataError(
                f"{self.path}: has more than {self.limits.max_text_mb} MB of text (knowledge.reading.max_text_mb)"
            )

    def _figure(self, figure: Figure) -> Figure:
        """A figure, whose picture is kept if there is room."""
        if figure.content is None:
            return figure
        if self._room is None:
            self._room = self.limits.pictures_mb << 20
        known = type_of(figure.content) is not None
        digest = digest_of(figure.content)
        if digest in self._seen:
            return figure
        if not known or len(figure.content) > min(self._room, self.limits.picture_mb << 20):
            self.left_out += 1
            return replace(figure, content=None)
        self._room -= len(figure.content)
        self._seen.add(digest)
        self.pictures[digest] = figure.content
        return figure


class Timed:
    """Says how long it took to get what an iterator gives."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def all(self, items: Iterable[Block]) -> Iterator[Block]:
        """The same items."""
        there = iter(items)
        while True:
            begun = time.perf_counter()
            try:
                item = next(there)
            except StopIteration:
                return
            finally:
                self.seconds += time.perf_counter() - begun
            yield item


@dataclass
class Cut:
    """What a file became.

    Attributes:
        chunks: Its parts, in reading order.
        pictures: Those that are kept, by their digests.
        seconds: How long it took to `read` and to `cut` it.
        counts: What was met, as `unread_pages`.
    """

    chunks: list[Chunk] = field(default_factory=list)
    pictures: dict[str, bytes] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


def cut(path: Path, reader: ReaderConfig, chunker: ChunkerConfig, limits: ReadingConfig, embed: Any = None) -> Cut:
    """Read a file here, and cut it.

    Raises:
        DataError: It cannot be read, or is too much.
    """
    begun, timed, bounds = time.perf_counter(), Timed(), Bounds(path, limits)
    with counted() as counts:
        chunks = list(bounds.chunks(chunker.cut(bounds.blocks(timed.all(reader.read(path))), embed)))
    if bounds.left_out:
        counts["pictures_left_out"] = bounds.left_out
    whole = time.perf_counter() - begun
    return Cut(chunks, bounds.pictures, {"read": timed.seconds, "cut": whole - timed.seconds}, dict(counts))


def texts_of(block: Block) -> Iterator[str]:
    """All that a block says."""
    if isinstance(block, Heading | Paragraph | Code):
        yield block.text
    elif isinstance(block, Bullets):
        yield from (text for _, text in block.items)
    elif isinstance(block, Table):
        yield block.caption
        for row in block.rows:
            yield from row
    else:
        yield block.caption
        yield block.text


def clean(chunk: Chunk) -> Chunk:
    """A chunk without characters that databases and servers refuse: those that are halves of others, and nothing."""
    told = (chunk.text, *chunk.path, chunk.context or "")
    if all(text.isascii() and "\0" not in text for text in told):
        return chunk
    context = None if chunk.context is None else cleaned(chunk.context)
    return replace(chunk, text=cleaned(chunk.text), path=tuple(map(cleaned, chunk.path)), context=context)


def cleaned(text: str) -> str:
    """A text of which every character can be written."""
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text.replace("\0", " ") if "\0" in text else text
