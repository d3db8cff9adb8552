"""`Page`: spans of text, rules and pictures with their places, in points from the top left corner."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from easyrec.retrieval.keyword.words import IS_DENSE
from rag.document import Place

BODY = "\ufdd0"
"""Stands for a table, or a picture, among characters; no text has it."""
PICTURE = f"{BODY}picture"
"""Stands for a picture: it begins as that of any body does."""
DIVIDED = re.compile(r"[^\W\d_]{2}[-\u2010]$")
"""The end of a line in the middle of a word."""
HYPHEN = re.compile(r"(?:\d|(?<![^\W_])[^\W\d_])[-\u2010]$")
"""The end of a line at a hyphen that is one: 2025-, e-."""
Affine: TypeAlias = tuple[float, float, float, float, float, float]
"""x becomes a x + b y + c, and y becomes d x + e y + f."""


@dataclass(slots=True)
class Box:
    """A part of a page."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """From the left to the right."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """From the top to the bottom."""
        return self.bottom - self.top

    def holds(self, other: Box, slack: float = 1.0) -> bool:
        """Whether the middle of another one is inside."""
        x, y = (other.left + other.right) / 2, (other.top + other.bottom) / 2
        return self.left - slack <= x <= self.right + slack and self.top - slack <= y <= self.bottom + slack


@dataclass(slots=True)
class Span(Box):
    """Characters that follow each other.

    Attributes:
        text: They.
        lefts: Where each begins.
        bold: Whether they are.
        points: Size of their font; 0: not known, then their height tells.
    """

    text: str
    lefts: list[float]
    bold: bool = False
    points: float = 0.0

    @property
    def size(self) -> float:
        """Height of its characters."""
        return self.bottom - self.top

    @property
    def type_size(self) -> float:
        """What tells headings from running text."""
        return round(self.points or self.size, 1)


@dataclass(slots=True)
class Picture(Box):
    """A picture.

    Attributes:
        across: Pixels of its width; 0: not known.
        down: Pixels of its height.
    """

    across: int = 0
    down: int = 0


@dataclass
class Page:
    """A page.

    Attributes:
        number: From 1 on.
        width: Of the page.
        height: Of the page.
        spans: In the order in which they were written.
        rules: Thin lines, level or upright.
        pictures: Where they are.
        dots: Small shapes, such as those before items of lists.
        stripes: Grounds without a frame, as rows of tables have.
        scanned: Whether it was read in a picture.
        back: From shares of it to those of the page as it is shown, where it was turned; None: they are the same.
    """

    number: int
    width: float
    height: float
    spans: list[Span] = field(default_factory=list)
    rules: list[Box] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    dots: list[Box] = field(default_factory=list)
    stripes: list[Box] = field(default_factory=list)
    scanned: bool = False
    back: Affine | None = None

    def place(self, boxes: Sequence[Box]) -> Place:
        """Where some boxes stand together."""
        if not boxes:
            return Place(self.number)
        edges = around(boxes)
        shares = (
            edges.left / self.width,
            edges.top / self.height,
            edges.right / self.width,
            edges.bottom / self.height,
        )
        left, top, right, bottom = (min(max(round(share, 4), 0.0), 1.0) for share in shares)
        return Place(self.number, (left, top, right, bottom))


def turned(place: Place, back: Affine | None) -> Place:
    """A place on the page as it is shown."""
    if back is None or place.box is None:
        return place
    a, b, c, d, e, f = back
    left, top, right, bottom = place.box
    corners = [(x, y) for x in (left, right) for y in (top, bottom)]
    xs = [min(max(round(a * x + b * y + c, 4), 0.0), 1.0) for x, y in corners]
    ys = [min(max(round(d * x + e * y + f, 4), 0.0), 1.0) for x, y in corners]
    return replace(place, box=(min(xs), min(ys), max(xs), max(ys)))


def around(boxes: Sequence[Box]) -> Box:
    """The smallest box that has all of them inside."""
    return Box(
        min(box.left for box in boxes),
        min(box.top for box in boxes),
        max(box.right for box in boxes),
        max(box.bottom for box in boxes),
    )


def rows_of(spans: list[Span]) -> list[list[Span]]:
    """Spans that stand side by side, from the top to the bottom, each row from the left."""
    rows: list[list[Span]] = []
    bottom = 0.0
    for span in sorted(spans, key=lambda span: (span.top + span.bottom) / 2):
        if rows and (span.top + span.bottom) / 2 < bottom:
            rows[-1].append(span)
        else:
            rows.append([span])
            bottom = span.bottom
        if span.size >= max(other.size for other in rows[-1]):
            bottom = span.bottom
    return [sorted(row, key=lambda span: span.left) for row in rows]


def line_text(row: list[Span]) -> str:
    """The words of a row."""
    text = ""
    last: Span | None = None
    for span in row:
        if last is not None and span.left - last.right > 0.12 * span.size and not text.endswith(" "):
            text += " "
        text += span.text
        last = span
    return " ".join(text.split())


def joined(lines: list[str]) -> str:
    """Lines as one text: words that were divided are whole again, and Chinese gets no spaces."""
    text = ""
    for line in lines:
        if not text or not line:
            text += line
        elif text.endswith("\u00ad") or (DIVIDED.search(text) and line[0].islower()):
            text = text[:-1] + line
        elif (HYPHEN.search(text) and line[0].isalnum()) or (_is_dense(text[-1]) and _is_dense(line[0])):
            text += line
        else:
            text += " " + line
    return text


def _is_dense(character: str) -> bool:
    """Whether no space stands beside it."""
    return bool(IS_DENSE.match(character)) or character in "，。、；：！？）》《（“”"
