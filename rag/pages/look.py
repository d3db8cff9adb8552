"""How a document looks, and so what its pages say: columns, tables, headings, captions, and what repeats on each page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from rag.document import Block, Bullets, Figure, Heading, Paragraph, Place, Table
from rag.pages.page import BODY, Box, Page, Span, joined, line_text, rows_of
from rag.pages.paragraphs import SPACE, Ends, Styles, blocks_of, styles_of
from rag.pages.regions import Aligned, Region, regions_of, with_marks
from rag.pages.ruled import tables_of
from rag.pages.striped import striped_tables_of

PAGE_NUMBER = re.compile(
    r"(?:page|seite|第)?\s*[-\u2013(]?\s*\d{1,5}\s*[-\u2013)]?\s*(?:(?:/|of|von)\s*\d{1,5}|页)?", re.IGNORECASE
)
"""A line that tells the number of its page and nothing else."""
LINES = 200
"""Of a page at most, that what is no text stands for."""
EDGE = 0.09
"""Share of a page at its top and bottom where what repeats is looked for."""
LONGEST = 300
"""Characters of a caption."""
REPEATED = 0.5
"""Share of the pages that have it."""
NUMBER = r"(?:[A-Z]?[\d.]*\d|[IVX]+\b|[一二三四五六七八九十]+|[:：])"
CAPTION = re.compile(rf"^(?:table|tab\.|表|表格)\s*{NUMBER}", re.IGNORECASE)
NOTE = re.compile(r"\s*(?:[\[(]?(\d{1,3})(?!\d)[\])]?|[*\u2020\u2021\u00a7\u00b6]|[\u2460-\u2473])[.):]?\s*(?=\S)")
"""How footnotes begin."""
NOTE_SIZE = 0.92
"""Of running text, that the characters of footnotes have at most."""
FIGURE = re.compile(rf"^(?:figure|fig\.|图|图表)\s*{NUMBER}", re.IGNORECASE)


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
        self._repeated = _repeated(sample)
        self._levels = levels or {}

    def said(self, page: Page, figures: Sequence[tuple[Box, Figure]] = ()) -> Said:
        """What a page says, in reading order.

        Args:
            page: It.
            figures: Its pictures with their places.
        """
        page.spans = self._without_repeated(page)
        ruled, spans = tables_of(page)
        striped, spans = striped_tables_of(page, spans)
        ruled += striped
        # A table, or a picture, stands among the text as lines that are full, so that columns are found with it.
        bodies: dict[str, Table | Figure] = {}
        boxed: list[tuple[Box, Table | Figure]] = [
            (table.box, Table(tuple(map(tuple, table.cells)), table.header, "", page.place([table.box])))
            for table in ruled
        ]
        line = max(self._styles.body, page.height / LINES)
        for number, (box, body) in enumerate([*boxed, *figures]):
            name = f"{BODY}{number}"
            bodies[name] = body
            count = max(1, round(box.height / line))
            edges = [box.top + box.height * part / count for part in range(count + 1)]
            for top, bottom in pairwise(edges):
                spans.append(Span(box.left, top, box.right, bottom, name, [box.left] * len(name)))
        said = Said([], [], {})
        self._text(page, with_marks(spans), bodies, said)
        return Said(_with_captions(said.blocks), said.notes, said.ends)

    def _without_repeated(self, page: Page) -> list[Span]:
        """The spans of a page without headers and footers."""
        gone: set[int] = set()
        edges = rows_of(_at_edges(page))
        sizes: set[float] = set()  # of what stands beside the number of a page
        for row in edges:
            text = line_text(row)
            low = row[0].top > (1 - EDGE) * page.height
            lone = _numbers(text, page)
            beside = len(row) > 1 and row[-1].left > 0.5 * page.width and _numbers(row[-1].text, page)
            if low and beside and all(span.type_size <= NOTE_SIZE * self._styles.body for span in row):
                sizes |= {span.type_size for span in row}
                gone |= {id(span) for span in row}
            elif _same(text) in self._repeated or (lone and low):
                gone |= {id(span) for span in row}
        for row in edges:  # the line at the head of a page looks as the one at its foot
            if row[0].bottom < EDGE * page.height and all(span.type_size in sizes for span in row):
                gone |= {id(span) for span in row}
        return [span for span in page.spans if id(span) not in gone]

    def _text(self, page: Page, spans: list[Span], bodies: dict[str, Table | Figure], said: Said) -> None:
        """The blocks of some spans."""
        for region in regions_of(spans):
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
        if first == len(rows):
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


def _merged(cells: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
    """Rows of which the first cell is empty go on with the row above: their texts are its texts."""
    found: list[list[str]] = []
    for row in cells:
        if found and not row[0] and any(row) and sum(map(bool, row)) < len(row):
            found[-1] = [joined([a, b]) if b else a for a, b in zip(found[-1], row, strict=True)]
        else:
            found.append(list(row))
    return tuple(map(tuple, found))


def _numbers(text: str, page: Page) -> bool:
    """Whether a text is the number of a page and nothing else."""
    return bool(PAGE_NUMBER.fullmatch(text)) and str(page.number) in re.findall(r"\d+", text)


def _at_edges(page: Page) -> list[Span]:
    return [span for span in page.spans if span.bottom < EDGE * page.height or span.top > (1 - EDGE) * page.height]


def _same(text: str) -> str:
    """A line without its digits."""
    return re.sub(r"\d+", "#", text)


def _repeated(pages: Sequence[Page]) -> set[str]:
    """Lines at the edges that most pages have; of two pages, those that stand at the same place of both."""
    if len(pages) < 2:
        return set()
    rows = [[(_same(line_text(row)), row[0].top) for row in rows_of(_at_edges(page))] for page in pages]
    if len(pages) == 2:
        return {text for text, top in rows[0] if text and any(text == t and abs(top - y) < 2 for t, y in rows[1])}
    counts = Counter(text for own in rows for text in {text for text, _ in own})
    return {text for text, count in counts.items() if text and count >= max(3, REPEATED * len(pages))}


def words_of(text: str) -> str:
    """By which headings are told apart."""
    return "".join(text.split()).casefold()


def _with_captions(blocks: list[Block]) -> list[Block]:
    """Tables and pictures with what stands above or below them and calls itself their caption."""
    taken: set[int] = set()
    for number, block in enumerate(blocks):
        if not isinstance(block, Table | Figure):
            continue
        # What tables are called stands above them for the most part, and below pictures.
        looks, near = (CAPTION, (-1, 1)) if isinstance(block, Table) else (FIGURE, (1, -1))
        for other in (number + step for step in near):
            told = blocks[other] if 0 <= other < len(blocks) else None
            if (
                isinstance(told, Paragraph)
                and other not in taken
                and len(told.text) < LONGEST
                and looks.match(told.text)
            ):
                blocks[number] = replace(block, caption=told.text)
                taken.add(other)
                break
    kept = [block for number, block in enumerate(blocks) if number not in taken]
    return [block for block in kept if not isinstance(block, Figure) or block.caption or block.text]


def whole(pages: Iterable[Said]) -> Iterator[Block]:
    """Tables and paragraphs that go on in the next column or at the next page are one; footnotes come after them."""
    held: Block | None = None
    last = Place()  # of the part that was added last
    ended: Ends | None = None
    notes: list[Paragraph] = []
    for said in pages:
        for block in said.blocks:
            if held is None:
                held = block
            elif isinstance(held, Table) and isinstance(block, Table) and _table_goes_on(held, last, block):
                head = held.rows[: held.header]
                rows = block.rows[block.header :] if block.rows[: block.header] == head else block.rows
                # A row that the end of a page divides may leave nothing but its rules there.
                kept = held.rows if any(held.rows[-1]) else held.rows[:-1]
                held = replace(held, rows=kept + (rows if any(rows[:1] and rows[0]) else rows[1:]))
            elif (
                isinstance(held, Paragraph)
                and isinstance(block, Paragraph)
                and _text_goes_on(held, last, ended, block, said.ends.get(id(block)))
            ):
                held = replace(held, text=joined([held.text, block.text]))
            elif (
                isinstance(held, Bullets)
                and isinstance(block, Paragraph)
                and _item_goes_on(held, last, ended, block, said.ends.get(id(block)))
            ):
                depth, text = held.items[-1]
                held = replace(held, items=(*held.items[:-1], (depth, joined([text, block.text]))))
            elif (
                isinstance(held, Bullets)
                and isinstance(block, Bullets)
                and _list_goes_on(held, last, block, said.ends.get(id(block)))
            ):
                held = replace(held, items=held.items + block.items)
            else:
                yield held
                yield from notes
                notes = []
                held = block
            last, ended = block.place, said.ends.get(id(block))
        notes += said.notes
        if held is not None and not isinstance(held, Paragraph | Table | Bullets):
            yield held
            held = None
        if held is None:
            yield from notes
            notes = []
    if held is not None:
        yield held
    yield from notes


def _table_goes_on(held: Table, last: Place, block: Table) -> bool:
    """Whether a table is the rest of one at the end of the page, or of the column, before."""
    if last.page is None or block.place.page is None or last.box is None or block.place.box is None:
        return False
    left, top, right, _ = block.place.box
    wide = abs((right - left) - (last.box[2] - last.box[0])) < 0.02
    next_page = last.page + 1 == block.place.page and last.box[3] > 0.5
    next_column = last.page == block.place.page and left >= last.box[2] - 0.02 and top < last.box[3]
    begins = top < 0.25 if next_page else next_column
    return wide and begins and len(held.rows[0]) == len(block.rows[0]) and not block.caption


def _text_goes_on(held: Paragraph, last: Place, ended: Ends | None, block: Paragraph, begun: Ends | None) -> bool:
    """Whether a paragraph is the rest of one at the end of the page, or of the column, before."""
    if last.page is None or block.place.page is None or last.box is None or block.place.box is None:
        return False
    next_column = block.place.page == last.page and block.place.box[0] > last.box[2] - 0.02
    if not next_column and block.place.page != last.page + 1:
        return False
    # Where the last line has no room for the next word it was the end of the column that broke it, most probably.
    if ended is not None and begun is not None and not begun.indented and ended.room <= begun.word + SPACE * ended.line:
        return True
    ends = re.search(r"[.!?:。！？：…][\"'”’）)]*$", held.text)
    return not ends and not block.text[:1].isupper()


def _item_goes_on(held: Bullets, last: Place, ended: Ends | None, block: Paragraph, begun: Ends | None) -> bool:
    """Whether a paragraph is the rest of the last item of a list at the end of the page, or of the column, before."""
    if re.search(r"[.!?:。！？：…][\"'”’）)]*$", held.items[-1][1]):
        return False
    return _text_goes_on(Paragraph(held.items[-1][1]), last, ended, block, begun)


def _list_goes_on(held: Bullets, last: Place, block: Bullets, begun: Ends | None) -> bool:
    """Whether a list is the rest of one at the end of the page, or of the column, before."""
    if last.page is None or block.place.page is None or last.box is None or block.place.box is None:
        return False
    next_column = block.place.page == last.page and block.place.box[0] > last.box[2] - 0.02
    next_page = block.place.page == last.page + 1 and last.box[3] > 0.5
    if not (next_column or next_page) or held.numbered != block.numbered:
        return False
    return begun is None or not begun.first
