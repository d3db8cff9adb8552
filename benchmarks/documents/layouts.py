"""Layouts of pages in two columns as papers, handbooks and journals have them, a function each: what they hold, and what draws it."""

# ruff: noqa: PLC0415, S311 (a package that makes documents is imported where it does; documents are no secrets)
from __future__ import annotations

import html
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from documents.by_reportlab import SCALES, fonts_of
from documents.truth import paragraph, sentence, table, title

from rag.document import Block, Bullets, Figure, Heading, Paragraph, Table


@dataclass
class Draft:
    """What pages hold, and how.

    Attributes:
        parts: Blocks by whether they go over both columns.
        notes: Footnotes by the number of their block, as `id` gives it.
        floats: Page, whether at its top, and what stands there over both columns.
        rules: Of tables: `header`, `lines` or `grid`.
        running: Whether pages have heads, which change, and numbers that do not begin with 1.
    """

    parts: list[tuple[bool, list[Block]]] = field(default_factory=list)
    notes: dict[int, str] = field(default_factory=dict)
    floats: list[tuple[int, bool, Block]] = field(default_factory=list)
    rules: str = "grid"
    running: bool = False


# --------------------------------------------------------------------------------------------- what they hold


def prose(rng: random.Random, chinese: bool, count: int) -> list[Block]:
    return [Paragraph(paragraph(rng, chinese, 3, 7)) for _ in range(count)]


def section(rng: random.Random, chinese: bool, level: int, count: int) -> list[Block]:
    return [Heading(title(rng, chinese), level), *prose(rng, chinese, count)]


def called(rng: random.Random, chinese: bool, what: str, number: int) -> str:
    """A caption."""
    if chinese:
        return f"{'图' if what == 'figure' else '表'} {number}：{sentence(rng, True)}"
    name = rng.choice(["Figure", "Fig."]) if what == "figure" else "Table"
    return f"{name} {number}{rng.choice([':', '.'])} {sentence(rng, False)}"


def named_table(rng: random.Random, chinese: bool, number: int, rows: int, most: int) -> Table:
    made = table(rng, chinese, rows, merged=False, most=most)
    return Table(made.rows, made.header, called(rng, chinese, "table", number) if rng.random() < 0.6 else "")


def header_rules(rng: random.Random, chinese: bool) -> Draft:
    """Tables of which the header alone has a rule, in columns and over both."""
    blocks: list[Block] = []
    for number in range(1, 5):
        blocks += [*section(rng, chinese, 2, 2), named_table(rng, chinese, number, rng.randint(3, 8), 3)]
    blocks += prose(rng, chinese, 2)
    wide: list[Block] = [named_table(rng, chinese, 5, rng.randint(4, 9), 5)]
    return Draft(
        [
            (True, [Heading(title(rng, chinese), 1)]),
            (False, blocks),
            (True, wide),
            (False, prose(rng, chinese, 4)),
        ],
        rules="header",
    )


def wide_tables(rng: random.Random, chinese: bool) -> Draft:
    """Tables over both columns: between columns, and at the top and the end of pages."""
    parts: list[tuple[bool, list[Block]]] = [(True, [Heading(title(rng, chinese), 1)])]
    for number in range(1, 3):
        parts.append((False, [*section(rng, chinese, 2, 3), *section(rng, chinese, 3, 2)]))
        parts.append((True, [named_table(rng, chinese, number, rng.randint(3, 8), 6)]))
    parts.append((False, [*section(rng, chinese, 2, 6), *section(rng, chinese, 2, 9)]))

    def stood(number: int) -> Table:
        made = table(rng, chinese, rng.randint(3, 6), merged=False, most=6)
        return Table(made.rows, made.header, called(rng, chinese, "table", number))

    floats: list[tuple[int, bool, Block]] = [(2, True, stood(8)), (3, False, stood(9))]
    return Draft(parts, floats=floats, rules=rng.choice(["grid", "lines", "header"]))


def wide_headings(rng: random.Random, chinese: bool) -> Draft:
    """Headings of several levels over both columns, whose text is in columns that are equally long."""
    parts: list[tuple[bool, list[Block]]] = [(True, [Heading(title(rng, chinese), 1), *prose(rng, chinese, 1)])]
    for _ in range(4):
        parts.append((True, [Heading(title(rng, chinese), 2)]))
        parts.append((False, [*prose(rng, chinese, rng.randint(2, 4)), *section(rng, chinese, 3, rng.randint(1, 3))]))
    return Draft(parts)


def column_notes(rng: random.Random, chinese: bool) -> Draft:
    """Footnotes at the end of the column that has their marks."""
    blocks: list[Block] = []
    notes: dict[int, str] = {}
    for _ in range(5):
        own = section(rng, chinese, 2, rng.randint(3, 5))
        for block in own[1:]:
            if rng.random() < 0.4:
                notes[id(block)] = sentence(rng, chinese)
        blocks += own
    return Draft([(True, [Heading(title(rng, chinese), 1)]), (False, blocks)], notes)


def figures(rng: random.Random, chinese: bool) -> Draft:
    """Pictures with captions in columns, over both of them, and at the top and the end of pages."""
    blocks: list[Block] = []
    for number in range(1, 5):
        blocks += [
            *section(rng, chinese, 2, 2),
            Figure(called(rng, chinese, "figure", number)),
            *prose(rng, chinese, 1),
        ]
    parts = [
        (True, [Heading(title(rng, chinese), 1)]),
        (False, blocks),
        (True, [Figure(called(rng, chinese, "figure", 5))]),
        (False, [*section(rng, chinese, 2, 5), *section(rng, chinese, 2, 8)]),
    ]
    floats: list[tuple[int, bool, Block]] = [
        (2, True, Figure(called(rng, chinese, "figure", 6))),
        (3, False, Figure(called(rng, chinese, "figure", 7))),
    ]
    return Draft(parts, floats=floats)


def column_lists(rng: random.Random, chinese: bool) -> Draft:
    """Lists with marks and with numbers, and lists in lists, that go on in the next column."""

    def listed() -> Bullets:
        depths = rng.choice([(0,), (0, 0, 1)])
        return Bullets(
            tuple((rng.choice(depths) if n else 0, sentence(rng, chinese)) for n in range(rng.randint(3, 9))),
            rng.random() < 0.5,
        )

    blocks: list[Block] = []
    for _ in range(6):
        blocks += [*section(rng, chinese, 2, 1), listed(), *prose(rng, chinese, 1)]
    return Draft([(True, [Heading(title(rng, chinese), 1)]), (False, blocks)])


def running_heads(rng: random.Random, chinese: bool) -> Draft:
    """Heads of left pages and of right ones, with the chapter, and numbers of pages that go on from another volume."""
    blocks: list[Block] = []
    for _ in range(9):
        blocks += [*section(rng, chinese, 2, 4), *section(rng, chinese, 3, 4)]
    return Draft([(True, [Heading(title(rng, chinese), 1)]), (False, blocks)], running=True)


LAYOUTS: dict[str, Callable[[random.Random, bool], Draft]] = {
    "tables under one rule": header_rules,
    "tables over both columns": wide_tables,
    "headings over both columns": wide_headings,
    "footnotes of columns": column_notes,
    "figures": figures,
    "lists in columns": column_lists,
    "running heads": running_heads,
}


# -------------------------------------------------------------------------------------------- what draws them


def layout_pdf(draft: Draft, path: Path, seed: int, *, chinese: bool) -> list[Block]:
    """Write a document, and tell its blocks in reading order: footnotes come after what begins on their page."""
    sheets = Sheets(draft, path, seed, chinese)
    for wide, blocks in draft.parts:
        if wide:
            for block in blocks:
                sheets.across(block)
        else:
            sheets.columns(blocks)
    return sheets.closed()


@dataclass
class Piece:
    """What is set in a column.

    Attributes:
        flowable: It.
        block: What begins with it; None: something that began before.
        note: Number of the footnote whose mark it has; 0: none.
        size: Points that must be free below it.
    """

    flowable: Any
    block: Block | None
    note: int = 0
    size: float = 0.0


class Sheets:
    """Pages in two columns, as they are filled."""

    def __init__(self, draft: Draft, path: Path, seed: int, chinese: bool) -> None:
        from reportlab.lib import pagesizes
        from reportlab.lib.styles import ParagraphStyle
        from reportlab.pdfgen.canvas import Canvas

        self.draft, self.chinese = draft, chinese
        self.rng = rng = random.Random(seed * 13 + 5)
        self.size = rng.choice([pagesizes.A4, pagesizes.LETTER])
        scale = SCALES[rng.randrange(len(SCALES))]
        self.plain, self.bold = fonts_of(seed, chinese)
        self.points = scale[3]
        aligned = 0 if chinese else rng.choice([0, 4])
        # Paragraphs are indented: else nobody could tell whether a full line ends one at the end of a column.
        self.body = ParagraphStyle(
            "body", fontName=self.plain, fontSize=scale[3], leading=scale[3] * rng.choice([1.2, 1.3, 1.45]),
            spaceAfter=rng.choice([0, 3, 6]), firstLineIndent=14, wordWrap="CJK" if chinese else None, alignment=aligned,
        )  # fmt: skip
        centred = rng.choice([0, 1])
        self.heads = [
            ParagraphStyle(
                f"h{n}", parent=self.body, fontName=self.bold, fontSize=scale[n - 1], leading=scale[n - 1] * 1.25,
                spaceBefore=9, spaceAfter=5, firstLineIndent=0, alignment=centred if n < 3 else 0,
            )
            for n in (1, 2, 3)
        ]  # fmt: skip
        self.small = ParagraphStyle(
            "note", parent=self.body, fontSize=scale[3] * 0.8, leading=scale[3], firstLineIndent=0, spaceAfter=0
        )
        self.under = ParagraphStyle(
            "caption", parent=self.body, fontSize=scale[3] * rng.choice([0.9, 1.0]), firstLineIndent=0,
            alignment=rng.choice([0, 1]),
        )  # fmt: skip
        self.gap, self.side = rng.choice([14.0, 18.0, 24.0]), rng.choice([48.0, 60.0])
        self.width = (self.size[0] - 2 * self.side - self.gap) / 2
        self.canvas = Canvas(str(path), pagesize=self.size)
        self.numbers = {key: number for number, key in enumerate(draft.notes, 1)}
        self.order: list[Block] = []
        self.page, self.first = 0, rng.choice([1, 117, 998]) if draft.running else 1
        self.head = title(rng, chinese)
        self.chapters = [title(rng, chinese) for _ in range(20)]
        self.ruled = rng.random() < 0.5
        self.after: list[Block] = []
        self._begun()

    # ------------------------------------------------------------------------------------------- pages

    def _begun(self) -> None:
        """A new page."""
        self.page += 1
        self.top, self.low = self.size[1] - 76.0, 76.0
        self.page_notes: list[int] = []
        if self.draft.running:
            self._running()
        for page, above, block in self.draft.floats:
            if page != self.page:
                continue
            flowable = self._flowable(block, 2 * self.width + self.gap)
            _, high = flowable.wrap(2 * self.width + self.gap, 10_000)
            if above:
                flowable.drawOn(self.canvas, self.side, self.top - high)
                self.top -= high + 18
                self.order.append(block)
            else:
                flowable.drawOn(self.canvas, self.side, self.low)
                self.low += high + 18
                self.after.append(block)

    def _running(self) -> None:
        number = self.first + self.page - 1
        self.canvas.setFont(self.plain, 0.9 * self.points)
        y, right = self.size[1] - 44, self.size[0] - self.side
        if number % 2:
            self.canvas.drawString(self.side, y, self.chapters[self.page // 3])
            self.canvas.drawRightString(right, y, str(number))
        else:
            self.canvas.drawString(self.side, y, str(number))
            self.canvas.drawRightString(right, y, self.head)
        if self.ruled:
            self.canvas.line(self.side, y - 5, right, y - 5)

    def _ended(self) -> None:
        """The page is full."""
        self.order += self.after
        self.after = []
        texts = list(self.draft.notes.values())
        self.order += [Paragraph(f"{number} {texts[number - 1]}") for number in self.page_notes]
        self.canvas.showPage()

    def closed(self) -> list[Block]:
        """What is on all pages."""
        self._ended()
        while any(page > self.page for page, _, _ in self.draft.floats):
            self._begun()
            self._ended()
        self.canvas.save()
        return self.order

    # ----------------------------------------------------------------------------------------- content

    def across(self, block: Block) -> None:
        """Set something over both columns."""
        wide = 2 * self.width + self.gap
        flowable = self._flowable(block, wide)
        _, high = flowable.wrap(wide, 10_000)
        fresh = self.top > self.size[1] - 80
        before = 0 if fresh else max(10.0, flowable.getSpaceBefore())
        if self.top - before - high - 5 * self.points < self.low:
            self._ended()
            self._begun()
            before = 0
        flowable.drawOn(self.canvas, self.side, self.top - before - high)
        self.top -= before + high + max(8.0, flowable.getSpaceAfter())
        self.order.append(block)

    def columns(self, blocks: list[Block]) -> None:
        """Set text in columns: to the end of each page, and the rest equally long."""
        flow = [piece for block in blocks for piece in self._pieces(block)]
        while flow:
            room = self.top - self.low
            height = self._even(flow, room)
            left, rest, used, held = self._column(flow, height or room)
            right, rest, other, held_right = self._column(rest, height or room)
            if not left and not right and self.top > self.size[1] - 80:
                raise ValueError("nothing fits on a page")
            self._set(left, held, self.side)
            self._set(right, held_right, self.side + self.width + self.gap)
            self.top -= max(used, other) + 4
            flow = rest
            if flow:
                self._ended()
                self._begun()

    def _even(self, flow: list[Piece], room: float) -> float:
        """Height of two columns that have all; 0: they do not."""
        height = sum(piece.flowable.wrap(self.width, 10_000)[1] for piece in flow) / 2
        while height <= room:
            _, rest, _, _ = self._column(flow, height)
            _, rest, _, _ = self._column(rest, height)
            if not rest:
                return height
            height += 3
        return 0.0

    def _column(
        self, flow: list[Piece], height: float
    ) -> tuple[list[tuple[Piece, float]], list[Piece], float, list[int]]:
        """What a column takes, what is left, how high it is, and its footnotes."""
        reserved = 0.0
        for _ in range(8):
            placed, rest, used = self._fit(flow, height - reserved)
            notes = [piece.note for piece, _ in placed if piece.note]
            needed = sum(self._note(number).wrap(self.width, 1000)[1] for number in notes) + 16 if notes else 0.0
            if needed <= reserved:
                break
            reserved = needed
        return placed, rest, used, notes

    def _fit(self, flow: list[Piece], height: float) -> tuple[list[tuple[Piece, float]], list[Piece], float]:
        from reportlab import platypus

        placed: list[tuple[Piece, float]] = []
        rest = list(flow)
        y = after = 0.0
        while rest:
            piece = rest[0]
            gap = max(after, piece.flowable.getSpaceBefore()) if placed else 0.0
            room = height - y - gap
            _, high = piece.flowable.wrap(self.width, 10_000)
            if high + piece.size <= room:
                placed.append((piece, y + gap))
                y += gap + high
                after = piece.flowable.getSpaceAfter()
                rest.pop(0)
                continue
            parts = piece.flowable.split(self.width, room) if isinstance(piece.flowable, platypus.Paragraph) else []
            if len(parts) == 2 and not piece.size:
                _, high = parts[0].wrap(self.width, 10_000)
                placed.append((Piece(parts[0], piece.block), y + gap))
                y += gap + high
                rest[0] = Piece(parts[1], None, piece.note)
            break
        return placed, rest, y

    def _set(self, placed: list[tuple[Piece, float]], notes: list[int], left: float) -> None:
        for piece, y in placed:
            _, high = piece.flowable.wrap(self.width, 10_000)
            piece.flowable.drawOn(self.canvas, left, self.top - y - high)
            if piece.block is not None:
                number = self.numbers.get(id(piece.block), 0)
                noted = number and not self.chinese and isinstance(piece.block, Paragraph)
                self.order.append(Paragraph(f"{piece.block.text}{number}") if noted else piece.block)
        self.page_notes += notes
        made = [self._note(number) for number in notes]
        y = self.low + sum(note.wrap(self.width, 1000)[1] for note in made)
        if made:
            self.canvas.line(left, y + 5, left + 60, y + 5)
        for note in made:
            y -= note.wrap(self.width, 1000)[1]
            note.drawOn(self.canvas, left, y)

    def _note(self, number: int) -> Any:
        from reportlab import platypus

        return platypus.Paragraph(f"{number} {html.escape(list(self.draft.notes.values())[number - 1])}", self.small)

    # ------------------------------------------------------------------------------------------ blocks

    def _pieces(self, block: Block) -> list[Piece]:
        from reportlab import platypus
        from reportlab.lib.styles import ParagraphStyle

        if isinstance(block, Bullets):
            made, counts = [], [0, 0]
            for number, (depth, text) in enumerate(block.items):
                counts = [counts[0] + 1, 0] if not depth else [counts[0], counts[1] + 1]
                mark = (f"{counts[0]}.", f"({counts[1]})")[depth] if block.numbered else ("\u2022", "\u2013")[depth]
                look = ParagraphStyle(
                    "item", parent=self.body, leftIndent=16 + 16 * depth, bulletIndent=2 + 16 * depth, firstLineIndent=0
                )
                made.append(
                    Piece(platypus.Paragraph(html.escape(text), look, bulletText=mark), None if number else block)
                )
            return made
        number = self.numbers.get(id(block), 0)
        return [Piece(self._flowable(block, self.width), block, number, 34.0 if isinstance(block, Heading) else 0.0)]

    def _flowable(self, block: Block, width: float) -> Any:
        from reportlab import platypus

        if isinstance(block, Heading):
            return platypus.Paragraph(html.escape(block.text), self.heads[block.level - 1])
        if isinstance(block, Paragraph):
            number = self.numbers.get(id(block), 0)
            # Lines of Chinese would have a raised number alone.
            raised = f"<super>{number}</super>" if number and not self.chinese else ""
            return platypus.Paragraph(html.escape(block.text) + raised, self.body)
        if isinstance(block, Table):
            told = [platypus.Paragraph(html.escape(block.caption), self.under)] if block.caption else []
            return stacked([*told, self._table(block, width)], 9.0)
        assert isinstance(block, Figure)
        return stacked([self._picture(width), platypus.Paragraph(html.escape(block.caption), self.under)], 9.0)

    def _picture(self, width: float) -> Any:
        import io

        from PIL import Image
        from reportlab import platypus

        wide = width * self.rng.choice([0.6, 0.8, 1.0])
        high = min(wide * self.rng.choice([0.4, 0.6]), 150.0)
        pixels = np.random.default_rng(self.rng.randrange(1000)).integers(0, 255, (60, 100, 3), np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).resize((200, 120)).save(file, "PNG")
        file.seek(0)
        return platypus.Image(file, wide, high)

    def _table(self, block: Table, width: float) -> Any:
        from reportlab import platypus
        from reportlab.lib.styles import ParagraphStyle
        from reportlab.pdfbase import pdfmetrics

        size = 0.95 * self.points
        bold = self.bold if self.rng.random() < 0.6 else self.plain
        count = len(block.rows[0])
        wide = width * self.rng.choice([0.85, 1.0])
        first = self.rng.choice([1.0, 1.6])
        widths = [wide * (first if not column else 1.0) / (first + count - 1) for column in range(count)]
        right = self.rng.random() < 0.4
        # A word that is broken without a hyphen is two words to everybody.
        words = [
            (word, column)
            for row in block.rows
            for column, text in enumerate(row)
            for word in text.split()
            if word.isascii()
        ]
        while any(pdfmetrics.stringWidth(w, self.bold, size) > widths[c] - 14 for w, c in words):
            size *= 0.95
        style: list[Any] = [
            ("FONT", (0, 0), (-1, -1), self.plain, size),
            ("FONT", (0, 0), (-1, 0), bold, size),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ]
        if right:
            style.append(("ALIGN", (1, 0), (-1, -1), "RIGHT"))
        if self.draft.rules == "grid":
            style.append(("GRID", (0, 0), (-1, -1), 0.5, "black"))
        else:
            style.append(("LINEBELOW", (0, 0), (-1, 0), 0.6, "black"))
        if self.draft.rules == "lines":
            style += [("LINEABOVE", (0, 0), (-1, 0), 1, "black"), ("LINEBELOW", (0, -1), (-1, -1), 1, "black")]
        rows: list[list[Any]] = [list(row) for row in block.rows]
        if any(
            pdfmetrics.stringWidth(text, bold if not number else self.plain, size) > widths[column] - 14
            for number, row in enumerate(rows)
            for column, text in enumerate(row)
        ):
            looks = [
                ParagraphStyle(
                    f"cell{n}-{right}", fontName=bold if n else self.plain, fontSize=size, leading=1.15 * size,
                    wordWrap="CJK" if self.chinese else None, alignment=2 if right and column else 0,
                )
                for n in (0, 1)
                for column in (0, 1)
            ]  # fmt: skip
            rows = [
                [
                    platypus.Paragraph(html.escape(text), looks[2 * (not number) + (column > 0)])
                    for column, text in enumerate(row)
                ]
                for number, row in enumerate(rows)
            ]
        return platypus.Table(rows, colWidths=widths, style=style)


def stacked(parts: list[Any], room: float) -> Any:
    """What stands below each other and is not divided, with room above and below."""
    from reportlab.platypus import Flowable

    class Stacked(Flowable):  # type: ignore[misc]
        def wrap(self, width: float, _: float) -> tuple[float, float]:
            self.width = width
            self.sizes = [part.wrap(width, 10_000) for part in parts]
            self.height = sum(high for _, high in self.sizes) + 4 * (len(parts) - 1)
            return width, self.height

        def draw(self) -> None:
            y = self.height
            for part, (wide, high) in zip(parts, self.sizes, strict=True):
                y -= high
                part.drawOn(self.canv, max(0.0, (self.width - wide) / 2), y)
                y -= 4

        def getSpaceBefore(self) -> float:  # noqa: N802 (reportlab's name)
            return room

        def getSpaceAfter(self) -> float:  # noqa: N802 (as above)
            return room

    return Stacked()
