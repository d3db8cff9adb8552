"""How a document looks, and so what its pages say: columns, tables, headings, footnotes and captions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rag.document import Block, Figure, Heading, Paragraph, Table
from rag.pages.captions import with_captions
from rag.pages.headed import headed_tables_of
from rag.pages.marks import with_marks
from rag.pages.page import BODY, PICTURE, Box, Page, Span, joined, line_text, rows_of
from rag.pages.paragraphs import Ends, Styles, blocks_of, styles_of
from rag.pages.regions import Aligned, Region, regions_of
from rag.pages.ruled import tables_of
from rag.pages.running import Running
from rag.pages.striped import striped_tables_of

LINES = 200
"""Of a page at most, that what is no text stands for."""
NOTE = re.compile(r"\s*(?:[\[(]?(\d{1,3})(?!\d)[\])]?|[*\u2020\u2021\u00a7\u00b6]|[\u2460-\u2473])[.):]?\s*(?=\S)")
"""How footnotes begin."""
ITEM = re.compile(r"\(?(\d{1,3})[.)]\s")
"""How items of numbered lists begin."""
NOTE_SIZE = 0.92
"""Of running text, that the characters of footnotes have at most."""


@dataclass(frozen=True)
class Said:
    """What a page says.

    Attributes:
        blocks: In reading order.
        notes: Its footnotes.
        ends: How its paragraphs begin and end, by `id`.
    """

    blocks: list[Block]
    notes: list[Paragraph]
    ends: dict[int, Ends]


class Look:
    """How a document looks, and so what its pages say.

    Args:
        sample: Some of its pages.
        levels: Levels of headings by their words, where somebody has told them.
    """

    def __init__(self, sample: Sequence[Page], levels: Mapping[str, int] | None = None) -> None:
        self._styles: Styles = styles_of(sample)
        self._running = Running(sample, self._styles.body)
        self._levels = levels or {}
        self._gutters: list[tuple[float, float]] = []  # of pages before

    def said(self, page: Page, figures: Sequence[tuple[Box, Figure]] = ()) -> Said:
        """What a page says, in reading order.

        Args:
            page: It.
            figures: Its pictures with their places.
        """
        page.spans = self._running.without(page)
        ruled, spans = tables_of(page)
        striped, spans = striped_tables_of(page, spans)
        headed, spans = headed_tables_of(page, spans)
        ruled += [*striped, *headed]
        # A table, or a picture, stands among the text as lines that are full, so that columns are found with it.
        bodies: dict[str, Table | Figure] = {}
        boxed: list[tuple[Box, Table | Figure]] = [
            (table.box, Table(tuple(map(tuple, table.cells)), table.header, "", page.place([table.box])))
            for table in ruled
        ]
        line = max(self._styles.body, page.height / LINES)
        for number, (box, body) in enumerate([*boxed, *figures]):
            name = f"{PICTURE if isinstance(body, Figure) else BODY}{number}"
            bodies[name] = body
            count = max(1, round(box.height / line))
            edges = [box.top + box.height * part / count for part in range(count + 1)]
            for top, bottom in pairwise(edges):
                spans.append(Span(box.left, top, box.right, bottom, name, [box.left] * len(name)))
        said = Said([], [], {})
        self._text(page, with_marks(spans), bodies, said)
        return Said(with_captions(said.blocks), said.notes, said.ends)

    def _text(self, page: Page, spans: list[Span], bodies: dict[str, Table | Figure], said: Said) -> None:
        """The blocks of some spans."""
        for region in regions_of(spans, gutters_before=self._gutters):
            if isinstance(region, Aligned):
                cells = tuple(
                    tuple(joined([line_text(r) for r in rows_of(cell)]) for cell in row) for row in region.rows
                )
                said.blocks.append(Table(_merged(cells), 1, "", page.place(region.spans)))
            else:
                self._column(page, region, bodies, said)

    def _column(self, page: Page, region: Region, bodies: dict[str, Table | Figure], said: Said) -> None:
        """The blocks of a column, with the tables and pictures in it, and its footnotes."""
        rest, notes = self._notes(page, region.spans, bodies)
        first: dict[str, Span] = {}
        for span in rest:
            if span.text in bodies and (span.text not in first or span.top < first[span.text].top):
                first[span.text] = span
        rest = [span for span in rest if span.text not in bodies]
        for span in sorted(first.values(), key=lambda span: span.top):
            above = [other for other in rest if (other.top + other.bottom) / 2 < span.top + 1]
            taken = {id(other) for other in above}
            rest = [other for other in rest if id(other) not in taken]
            said.blocks.extend(self._blocks(page, Region(above, region.box), said))
            if bodies[span.text] not in said.blocks:
                said.blocks.append(bodies[span.text])
        said.blocks.extend(self._blocks(page, Region(rest, region.box), said))
        said.notes.extend(notes)

    def _notes(
        self, page: Page, spans: list[Span], bodies: dict[str, Table | Figure]
    ) -> tuple[list[Span], list[Paragraph]]:
        """The spans of a column without its footnotes: rows of small text at its end that begin with a mark."""
        rows = rows_of(spans)
        first = len(rows)
        while first and self._is_small(page, rows[first - 1], bodies):
            first -= 1
        while first < len(rows) and not NOTE.match(line_text(rows[first])):
            first += 1
        if first == len(rows) or _is_item(rows, first):
            return spans, []
        groups: list[list[list[Span]]] = []
        number = None
        for row in rows[first:]:
            mark = NOTE.match(line_text(row))
            told = int(mark.group(1)) if mark and mark.group(1) else None
            if mark and (not groups or told is None or number is None or told == number + 1):
                groups.append([])
                number = told
            groups[-1].append(row)
        taken = {id(span) for group in groups for row in group for span in row}
        notes = [
            Paragraph(joined([line_text(row) for row in group]), page.place([span for row in group for span in row]))
            for group in groups
        ]
        return [span for span in spans if id(span) not in taken], notes

    def _is_small(self, page: Page, row: list[Span], bodies: dict[str, Table | Figure]) -> bool:
        """Whether a row is of small characters, in the lower half of a page."""
        small = all(span.text not in bodies and span.type_size <= NOTE_SIZE * self._styles.body for span in row)
        return small and row[0].top > 0.5 * page.height

    def _blocks(self, page: Page, region: Region, said: Said) -> list[Block]:
        return [self._heading(block) for block in blocks_of(page, region, self._styles, said.ends)]

    def _heading(self, block: Block) -> Block:
        """A block whose level is that of its bookmark, if it has one."""
        if isinstance(block, Heading | Paragraph) and (level := self._levels.get(words_of(block.text))):
            return Heading(block.text, level, block.place)
        return block


def _is_item(rows: list[list[Span]], number: int) -> bool:
    """Whether a row is the next item of a list above it, whose marks may be smaller than its text."""
    mark = ITEM.match(line_text(rows[number]))
    above = [ITEM.match(line_text(row)) for row in rows[:number] if abs(row[0].left - rows[number][0].left) <= 1]
    return mark is not None and any(m is not None and int(m.group(1)) == int(mark.group(1)) - 1 for m in above)


def _merged(cells: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
    """Rows of which the first cell is empty go on with the row above: their texts are its texts."""
    found: list[list[str]] = []
    for row in cells:
        if found and not row[0] and any(row) and sum(map(bool, row)) < len(row):
            found[-1] = [joined([a, b]) if b else a for a, b in zip(found[-1], row, strict=True)]
        else:
            found.append(list(row))
    return tuple(map(tuple, found))


def words_of(text: str) -> str:
    """By which headings are told apart."""
    return "".join(text.split()).casefold()
