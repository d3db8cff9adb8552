"""What a document is made of: blocks in reading order, and the tree that its headings make of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

LEVELS = 9
"""Deepest level of a heading."""


@dataclass(frozen=True)
class Place:
    """Where something stands.

    Attributes:
        page: From 1 on; of a sheet or a slide its number. None where there are no pages.
        box: Left, top, right and bottom as shares of the page; None: somewhere on it.
        line: From 1 on, of a text file.
    """

    page: int | None = None
    box: tuple[float, float, float, float] | None = None
    line: int | None = None


@dataclass(frozen=True)
class Heading:
    """A heading.

    Attributes:
        text: Its words.
        level: From 1, the highest, to `LEVELS`; 0: the title, above all others.
        place: Where it stands.
    """

    text: str
    level: int
    place: Place = Place()


@dataclass(frozen=True)
class Paragraph:
    """Sentences that belong together.

    Attributes:
        text: Its words, without the breaks of lines that the page made.
        place: Where it stands.
    """

    text: str
    place: Place = Place()


@dataclass(frozen=True)
class Bullets:
    """A list.

    Attributes:
        items: Each with its depth, from 0 on.
        numbered: Whether its items have numbers.
        place: Where it stands.
    """

    items: tuple[tuple[int, str], ...]
    numbered: bool = False
    place: Place = Place()


@dataclass(frozen=True)
class Table:
    """A table; where cells are merged, each of them has the text.

    Attributes:
        rows: All of one length, the header first.
        header: How many rows of it are header.
        caption: What stands above or below it.
        place: Where it stands.
    """

    rows: tuple[tuple[str, ...], ...]
    header: int = 1
    caption: str = ""
    place: Place = Place()


@dataclass(frozen=True)
class Code:
    """Lines whose breaks mean something.

    Attributes:
        text: They.
        place: Where they stand.
    """

    text: str
    place: Place = Place()


@dataclass(frozen=True)
class Figure:
    """A picture.

    Attributes:
        caption: What stands above or below it, or what it is called.
        text: What can be read in it.
        content: The picture itself, as PNG or JPEG; None where it was not kept.
        place: Where it stands.
    """

    caption: str
    text: str = ""
    content: bytes | None = field(default=None, repr=False)
    place: Place = Place()


Body: TypeAlias = Paragraph | Bullets | Table | Code | Figure
Block: TypeAlias = Heading | Body


@dataclass
class Section:
    """A heading with what stands below it.

    Attributes:
        heading: None of the whole document.
        children: Blocks and smaller sections, in their order.
    """

    heading: Heading | None
    children: list[Body | Section] = field(default_factory=list)


def with_headings(blocks: Iterable[Block]) -> Iterator[tuple[tuple[str, ...], Body]]:
    """Each block with the headings above it, the highest first; a heading with nothing below it is a block itself."""
    path: list[Heading] = []
    bare = False
    for block in blocks:
        if isinstance(block, Heading):
            if bare and path[-1].level >= block.level:
                yield _bare(path)
            path = [*(above for above in path if above.level < block.level), block]
            bare = bool(block.text.strip())
        else:
            bare = False
            yield tuple(heading.text for heading in path), block
    if bare:
        yield _bare(path)


def _bare(path: list[Heading]) -> tuple[tuple[str, ...], Body]:
    """The last heading, of which nothing would say that it is there."""
    return tuple(heading.text for heading in path[:-1]), Paragraph(path[-1].text, path[-1].place)


def tree(blocks: Iterable[Block]) -> Section:
    """The document as sections inside of sections."""
    top = Section(None)
    path = [top]
    for block in blocks:
        if isinstance(block, Heading):
            while path[-1].heading is not None and path[-1].heading.level >= block.level:
                path.pop()
            section = Section(block)
            path[-1].children.append(section)
            path.append(section)
        else:
            path[-1].children.append(block)
    return top
