"""`html`: pages, without what only their looks need."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import ClassVar, Literal

from rag.document import Block, Bullets, Code, Figure, Heading, Paragraph, Place, Table
from rag.readers._reading import PictureConfig, Reading

UNSEEN = frozenset(
    {"script", "style", "template", "noscript", "svg", "iframe", "object", "nav", "aside", "head", "select", "button", "dialog",
     "datalist", "canvas", "audio", "video", "map"}
)  # fmt: skip
HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
BOXES = frozenset({"div", "section", "span", "table", "ul", "ol", "article", "form", "main", "figure"})
"""Tags that are always closed: where one of them is hidden, all that is in it is."""
BREAKS = re.compile(
    "h[1-6]|address|article|aside|blockquote|body|br|caption|dd|div|dl|dt|fieldset|figcaption|figure|footer|form|header|hr|"
    "html|li|main|ol|p|pre|section|table|tbody|td|tfoot|th|thead|tr|ul"
)
"""Tags that end a paragraph."""
EMPTY = frozenset(
    {"br", "hr", "img", "input", "meta", "link", "wbr", "col", "area", "base", "embed", "source", "track"}
)
SPAN, COLUMNS = 200, 1000
"""Cells that one cell may take, and those of a row."""


class Config(PictureConfig):
    """Config of `html`."""

    endings: ClassVar[tuple[str, ...]] = (".html", ".htm", ".xhtml")

    type: Literal["html"] = "html"

    def read(self, path: Path) -> Iterator[Block]:
        """What a page shows."""
        yield from blocks_of(self.text_of(path), Reading(self, path))


def blocks_of(text: str, reading: Reading | None = None) -> list[Block]:
    """What a page shows.

    Args:
        text: The page.
        reading: Reads the pictures that are in it.
    """
    page = _Page(reading)
    page.feed(text)
    page.close()
    page.paragraph()
    return page.blocks


class _Page(HTMLParser):
    """Collects blocks. Pages are often wrong, so nothing here relies on tags being closed."""

    def __init__(self, reading: Reading | None) -> None:
        super().__init__(convert_charrefs=True)
        self._reading = reading
        self.blocks: list[Block] = []
        self._words: list[str] = []
        self._unseen = ""
        self._depth = 0
        self._heading = 0
        self._lists: list[bool] = []
        self._items: list[tuple[int, str]] = []
        self._first_numbered = False
        self._tables: list[_Rows] = []
        self._caption: list[str] | None = None
        self._pre = False

    # ------------------------------------------------------------------------------------------ the parser

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag begins."""
        if self._unseen:
            self._depth += tag == self._unseen
            return
        if tag in UNSEEN:
            self._unseen, self._depth = tag, 1
            return
        given = {name: value or "" for name, value in attrs}
        if tag in BOXES and ("hidden" in given or HIDDEN.search(given.get("style", ""))):
            self._unseen, self._depth = tag, 1
            return
        if tag == "img":
            self._picture(given)
            return
        if tag in ("td", "th") and self._tables:
            self._tables[-1].cell(tag == "th", _span(given, "colspan"), _span(given, "rowspan"))
            return
        if tag == "tr" and self._tables:
            self._tables[-1].row()
            return
        if tag == "br" and self._pre:
            self._words.append("\n")
            return
        if BREAKS.fullmatch(tag):
            self.paragraph()
        if tag == "table":
            self._tables.append(_Rows())
        elif tag in ("ul", "ol"):
            if not self._lists:
                self._items, self._first_numbered = [], tag == "ol"
            self._lists.append(tag == "ol")
        elif tag == "pre":
            self._pre = True
        elif tag == "caption" and self._tables:
            self._caption = []
        elif re.fullmatch("h[1-6]", tag):
            self._heading = int(tag[1])

    def handle_endtag(self, tag: str) -> None:
        """A tag ends."""
        if self._unseen:
            self._depth -= tag == self._unseen
            if self._depth == 0:
                self._unseen = ""
            return
        if tag in EMPTY or tag in ("td", "th", "tr"):
            if self._tables:
                self._tables[-1].ends(tag)
            return
        if tag == "caption" and self._tables and self._caption is not None:
            self._tables[-1].caption, self._caption = _plain("".join(self._caption)), None
            return
        if BREAKS.fullmatch(tag):
            self.paragraph()
        if tag == "table" and self._tables:
            self._end_of_table()
        elif tag in ("ul", "ol") and self._lists:
            self._lists.pop()
            if not self._lists and self._items:
                self.blocks.append(Bullets(tuple(self._items), self._first_numbered, self._place()))
                self._items = []
        elif tag == "pre":
            self._pre = False

    def handle_data(self, data: str) -> None:
        """Words."""
        if self._unseen:
            return
        if self._caption is not None:
            self._caption.append(data)
        elif self._tables:
            self._tables[-1].words(data)
        else:
            self._words.append(data)

    # -------------------------------------------------------------------------------------------- blocks

    def paragraph(self) -> None:
        """The words so far are a block."""
        text, self._words = "".join(self._words), []
        heading, self._heading = self._heading, 0
        if self._tables:
            return
        if self._pre:
            if text.strip():
                self.blocks.append(Code(text.strip("\n"), self._place()))
            return
        text = _plain(text)
        if not text:
            return
        if heading:
            self.blocks.append(Heading(text, heading, self._place()))
        elif self._lists:
            self._items.append((len(self._lists) - 1, text))
        else:
            self.blocks.append(Paragraph(text, self._place()))

    def _end_of_table(self) -> None:
        rows = self._tables.pop()
        table = rows.made(self._place())
        if self._tables:  # a table inside of a cell is read as its words
            self._tables[-1].words(" ".join(" ".join(row) for row in rows.cells()))
        elif table is not None:
            self.blocks.append(table)

    def _picture(self, given: dict[str, str]) -> None:
        told = _plain(given.get("alt") or given.get("title") or "")
        content = picture_in(given.get("src", ""))
        figure = Figure(told, place=self._place()) if told else None
        if content is not None and self._reading is not None:
            figure = self._reading.figure(content, told, self._place())
        if figure is None:
            return
        if self._tables or self._lists:
            self.handle_data(f" {' '.join(part for part in (figure.caption, figure.text) if part)} ")
        else:
            self.paragraph()
            self.blocks.append(figure)

    def _place(self) -> Place:
        return Place(line=self.getpos()[0])


class _Rows:
    """The rows of a table, with cells that span several."""

    def __init__(self) -> None:
        self.caption = ""
        self._rows: list[list[tuple[list[str], bool, int, int]]] = []
        self._open: list[str] | None = None

    def row(self) -> None:
        """A row begins."""
        self._rows.append([])
        self._open = None

    def cell(self, head: bool, columns: int, rows: int) -> None:
        """A cell begins."""
        if not self._rows:
            self.row()
        self._open = []
        self._rows[-1].append((self._open, head, columns, rows))

    def words(self, text: str) -> None:
        """Words of the cell."""
        if self._open is not None:
            self._open.append(text)

    def ends(self, tag: str) -> None:
        """A cell or a row ends."""
        if tag in ("td", "th", "tr"):
            self._open = None
        elif tag == "br":
            self.words(" ")

    def cells(self) -> list[list[str]]:
        """The texts by row and column."""
        grid: dict[tuple[int, int], str] = {}
        for number, row in enumerate(self._rows):
            column = 0
            for words, _, columns, rows in row:
                while (number, column) in grid:
                    column += 1
                if column + columns > COLUMNS:
                    break
                text = _plain("".join(words))
                for down in range(min(rows, len(self._rows) - number)):
                    for right in range(columns):
                        grid[number + down, column + right] = text
                column += columns
        width = max((column for _, column in grid), default=-1) + 1
        return [[grid.get((row, column), "") for column in range(width)] for row in range(len(self._rows))]

    def made(self, place: Place) -> Table | None:
        """The table, if there is anything in it."""
        cells = self.cells()
        kept = [number for number, row in enumerate(cells) if any(row)]
        if not kept:
            return None
        heads = [bool(self._rows[number]) and all(head for _, head, _, _ in self._rows[number]) for number in kept]
        header = next((number for number, head in enumerate(heads) if not head), len(heads))
        return Table(tuple(tuple(cells[number]) for number in kept), min(header, len(kept)), self.caption, place)


def picture_in(address: str) -> bytes | None:
    """The picture that an address holds itself; None: it is one of something elsewhere, which is never fetched."""
    head, _, body = address.strip().partition(",")
    if head[:11].lower() != "data:image/" or not head.lower().endswith(";base64"):
        return None
    try:
        return base64.b64decode("".join(body.split()), validate=True)
    except ValueError:
        return None


def _plain(text: str) -> str:
    """Words with single spaces."""
    return " ".join(text.split())


def _span(given: dict[str, str], name: str) -> int:
    value = given.get(name, "1")
    return min(max(int(value), 1), SPAN) if value.isascii() and value.isdigit() and len(value) < 6 else 1
