"""`pdf`: columns, headings by their size, tables with and without rules, across pages too; what repeats on each page left out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from easyrec.errors import DataError
from rag.document import Block, Figure, Heading, Paragraph, Place, Table
from rag.pages.page import Page, Span, joined, line_text, rows_of
from rag.pages.paragraphs import Styles, blocks_of, styles_of
from rag.pages.regions import Aligned, Region, regions_of, with_marks
from rag.pages.ruled import tables_of
from rag.readers import ReaderConfig
from rag.readers._pdfium import Pdf

TABLE = "\ufdd0"
"""Stands for a table among characters; no text has it."""
SAMPLED = 24
"""Pages that are looked at to find out how a document looks."""
EDGE = 0.09
"""Share of a page at its top and bottom where what repeats is looked for."""
REPEATED = 0.5
"""Share of the pages that have it."""
CAPTION = re.compile(r"^(?:table|tab\.|表|表格)\s*\d*", re.IGNORECASE)
FIGURE = re.compile(r"^(?:figure|fig\.|图|图表)\s*\d*", re.IGNORECASE)
LARGE = 0.04
"""Share of a page that a picture takes at least to be told of."""


class Config(ReaderConfig):
    """Config of `pdf`."""

    endings: ClassVar[tuple[str, ...]] = (".pdf",)

    type: Literal["pdf"] = "pdf"
    max_pages: int = Field(20_000, ge=1)
    """A file with more is refused."""

    def read(self, path: Path) -> Iterator[Block]:
        """What it says, page by page: memory does not grow with the file."""
        self.check(path)
        pdf = Pdf(path)
        try:
            if pdf.pages > self.max_pages:
                raise DataError(f"{path}: has {pdf.pages} pages, and {self.max_pages} are read at most (max_pages)")
            step = max(1, pdf.pages // SAMPLED)
            sample = [pdf.page(number) for number in range(0, pdf.pages, step)][: SAMPLED + 1]
            look = _Look(styles_of(sample), _repeated(sample), _levels(pdf))
            del sample
            yield from _whole(block for number in range(pdf.pages) for block in look.blocks(pdf.page(number)))
        finally:
            pdf.close()


class _Look:
    """How a document looks, and so what its pages say.

    Args:
        styles: Of its text.
        repeated: Lines that most pages have, without their digits.
        levels: Levels of headings by their words, as the bookmarks have them.
    """

    def __init__(self, styles: Styles, repeated: set[str], levels: dict[str, int]) -> None:
        self._styles, self._repeated, self._levels = styles, repeated, levels

    def blocks(self, page: Page) -> list[Block]:
        """The blocks of a page, in reading order."""
        page.spans = self._without_repeated(page)
        ruled, spans = tables_of(page)
        # A table stands among the text as one large character, so that columns are found with it.
        tables: dict[str, Table] = {}
        for number, table in enumerate(ruled):
            box, name = table.box, f"{TABLE}{number}"
            spans.append(Span(box.left, box.top, box.right, box.bottom, name, [box.left] * len(name)))
            tables[name] = Table(tuple(map(tuple, table.cells)), table.header, "", page.place([box]))
        found = self._text(page, with_marks(spans), tables)
        return _with_captions([*found, *_pictures(page, found)])

    def _without_repeated(self, page: Page) -> list[Span]:
        """The spans of a page without headers and footers."""
        if not self._repeated:
            return page.spans
        gone: set[int] = set()
        for row in rows_of(_at_edges(page)):
            if _same(line_text(row)) in self._repeated:
                gone |= {id(span) for span in row}
        return [span for span in page.spans if id(span) not in gone]

    def _text(self, page: Page, spans: list[Span], tables: dict[str, Table]) -> list[Block]:
        """The blocks of some spans."""
        found: list[Block] = []
        for region in regions_of(spans):
            if isinstance(region, Aligned):
                cells = tuple(
                    tuple(joined([line_text(r) for r in rows_of(cell)]) for cell in row) for row in region.rows
                )
                found.append(Table(_merged(cells), 1, "", page.place(region.spans)))
            else:
                found += self._column(page, region, tables)
        return found

    def _column(self, page: Page, region: Region, tables: dict[str, Table]) -> list[Block]:
        """The blocks of a column, with the tables in it."""
        found: list[Block] = []
        rest = region.spans
        for span in sorted((span for span in rest if span.text in tables), key=lambda span: span.top):
            middle = (span.top + span.bottom) / 2
            above = [other for other in rest if other.text not in tables and (other.top + other.bottom) / 2 < middle]
            taken = {id(other) for other in above} | {id(span)}
            rest = [other for other in rest if id(other) not in taken]
            found += [*self._blocks(page, Region(above, region.box)), tables[span.text]]
        return [*found, *self._blocks(page, Region(rest, region.box))]

    def _blocks(self, page: Page, region: Region) -> list[Block]:
        return [self._heading(block) for block in blocks_of(page, region, self._styles)]

    def _heading(self, block: Block) -> Block:
        """A block whose level is that of its bookmark, if it has one."""
        if isinstance(block, Heading | Paragraph) and (level := self._levels.get(_words(block.text))):
            return Heading(block.text, level, block.place)
        return block


def _merged(cells: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
    """Rows of which the first cell is empty go on with the row above: their texts are its texts."""
    found: list[list[str]] = []
    for row in cells:
        if found and not row[0] and any(row) and sum(map(bool, row)) < len(row):
            found[-1] = [joined([a, b]) if b else a for a, b in zip(found[-1], row, strict=True)]
        else:
            found.append(list(row))
    return tuple(map(tuple, found))


def _at_edges(page: Page) -> list[Span]:
    return [span for span in page.spans if span.bottom < EDGE * page.height or span.top > (1 - EDGE) * page.height]


def _same(text: str) -> str:
    """A line without its digits."""
    return re.sub(r"\d+", "#", text)


def _repeated(pages: list[Page]) -> set[str]:
    """Lines at the edges that most pages have."""
    if len(pages) < 3:
        return set()
    counts = Counter(text for page in pages for text in {_same(line_text(row)) for row in rows_of(_at_edges(page))})
    return {text for text, count in counts.items() if text and count >= max(3, REPEATED * len(pages))}


def _words(text: str) -> str:
    return "".join(text.split()).casefold()


def _levels(pdf: Pdf) -> dict[str, int]:
    """Levels of headings by their words; those that come twice at different levels are not told."""
    found: dict[str, int] = {}
    for level, title, _ in pdf.outline():
        key = _words(title)
        found[key] = level if found.get(key, level) == level else 0
    return {key: level for key, level in found.items() if key and level}


def _pictures(page: Page, found: list[Block]) -> list[Figure]:
    """Large pictures, by the captions that stand at them."""
    captions = [block for block in found if isinstance(block, Paragraph) and FIGURE.match(block.text)]
    made = []
    for box in page.pictures:
        if box.width * box.height >= LARGE * page.width * page.height:
            place = page.place([box])
            near = min(captions, key=lambda block: _apart(block.place, place), default=None)
            made.append(Figure(near.text if near is not None and _apart(near.place, place) < 0.1 else "", place=place))
    return [figure for figure in made if figure.caption]


def _apart(a: Place, b: Place) -> float:
    """How far one stands above or below another, as a share of the page."""
    if a.box is None or b.box is None:
        return 1.0
    return max(a.box[1] - b.box[3], b.box[1] - a.box[3], 0.0)


def _with_captions(blocks: list[Block]) -> list[Block]:
    """Tables with what stands above or below them and calls itself their caption."""
    taken: set[int] = set()
    for number, block in enumerate(blocks):
        if not isinstance(block, Table):
            continue
        for other in (number - 1, number + 1):
            near = blocks[other] if 0 <= other < len(blocks) else None
            if isinstance(near, Paragraph) and other not in taken and CAPTION.match(near.text) and len(near.text) < 300:
                blocks[number] = replace(block, caption=near.text)
                taken.add(other)
                break
    return [block for number, block in enumerate(blocks) if number not in taken]


def _whole(blocks: Iterator[Block]) -> Iterator[Block]:
    """Tables and paragraphs that go on in the next column or at the next page are one."""
    held: Block | None = None
    last = Place()  # of the part that was added last
    for block in blocks:
        if held is None:
            held = block
        elif isinstance(held, Table) and isinstance(block, Table) and _table_goes_on(held, last, block):
            rows = block.rows[block.header :] if block.rows[: block.header] == held.rows[: held.header] else block.rows
            held = replace(held, rows=held.rows + rows)
        elif isinstance(held, Paragraph) and isinstance(block, Paragraph) and _text_goes_on(held, last, block):
            held = replace(held, text=joined([held.text, block.text]))
        else:
            yield held
            held = block
        last = block.place
    if held is not None:
        yield held


def _table_goes_on(held: Table, last: Place, block: Table) -> bool:
    """Whether a table is the rest of one at the end of the page before."""
    if last.page is None or last.page + 1 != block.place.page or last.box is None or block.place.box is None:
        return False
    same = all(abs(a - b) < 0.02 for a, b in zip(last.box[::2], block.place.box[::2], strict=True))
    return same and len(held.rows[0]) == len(block.rows[0]) and not block.caption and block.place.box[1] < 0.25


def _text_goes_on(held: Paragraph, last: Place, block: Paragraph) -> bool:
    """Whether a paragraph is the rest of one at the end of the page, or of the column, before."""
    if last.page is None or block.place.page is None or last.box is None or block.place.box is None:
        return False
    next_column = block.place.page == last.page and block.place.box[1] < last.box[3]
    ends = re.search(r"[.!?:。！？：…][\"'”’）)]*$", held.text)
    return (block.place.page == last.page + 1 or next_column) and not ends and not block.text[:1].isupper()
