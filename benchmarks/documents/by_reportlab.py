"""Documents as PDF files made by reportlab: one column and two, several fonts, tables with and without rules, footnotes."""

# ruff: noqa: PLC0415, S311 (a package that makes documents is imported where it does; documents are no secrets)
from __future__ import annotations

import html
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from documents.truth import CHINESE_FONT, Truth, spans_of, title

from rag.document import Block, Bullets, Heading, Paragraph, Table

SCALES = ((20, 15, 12.5, 10), (24, 18, 14, 11), (18, 14, 11.5, 9.5), (16, 13.5, 11.4, 9))
"""Points of three levels of headings and of running text."""
SERIF = Path("/usr/share/fonts/truetype/dejavu/DejaVuSerif.ttf")


def fonts_of(seed: int, chinese: bool) -> tuple[str, str]:
    """Names of a font and of its bold one."""
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    if chinese:
        pdfmetrics.registerFont(TTFont("Wqy", str(CHINESE_FONT), subfontIndex=0))
        return "Wqy", "Wqy"
    fonts = [("Helvetica", "Helvetica-Bold"), ("Times-Roman", "Times-Bold"), ("Serif", "Serif")]
    if SERIF.exists():
        pdfmetrics.registerFont(TTFont("Serif", str(SERIF)))
    else:
        fonts.pop()
    return fonts[seed % len(fonts)]


def reportlab_pdf(  # noqa: PLR0915 (what a page has, in one place)
    truth: Truth,
    path: Path,
    seed: int,
    *,
    chinese: bool,
    columns: int = 1,
    look: int | None = None,
    running: bool = True,
) -> list[Block]:
    """Write a document, and tell its blocks in reading order: footnotes come after what begins on their page."""
    from reportlab import platypus
    from reportlab.lib import pagesizes
    from reportlab.lib.styles import ParagraphStyle

    rng = random.Random(seed * 7 + 1)
    size = rng.choice([pagesizes.A4, pagesizes.LETTER]) if columns == 1 else pagesizes.A4
    scale = SCALES[(seed if look is None else look) % len(SCALES)]
    plain, bold = fonts_of(seed, chinese)
    aligned = rng.choice([0, 4]) if not chinese else 0
    # Where lines are not equally long and none is indented, nobody can tell whether a paragraph goes on in the next column.
    indent = rng.choice([0, 14]) if aligned == 4 and columns == 1 else 14
    body = ParagraphStyle(
        "body", fontName=plain, fontSize=scale[3], leading=scale[3] * rng.choice([1.2, 1.35, 1.5]),
        spaceAfter=rng.choice([4, 7]), firstLineIndent=indent, wordWrap="CJK" if chinese else None,
        alignment=aligned,
    )  # fmt: skip
    heads = [
        ParagraphStyle(
            f"h{n}", parent=body, fontName=bold, fontSize=scale[n - 1], leading=scale[n - 1] * 1.25, spaceBefore=9,
            spaceAfter=5, keepWithNext=1, firstLineIndent=0, alignment=0,
        )
        for n in (1, 2, 3)
    ]  # fmt: skip
    small = ParagraphStyle(
        "note", parent=body, fontSize=scale[3] * 0.8, leading=scale[3], firstLineIndent=0, spaceAfter=0
    )
    begun: dict[int, int] = {}
    notes: dict[int, list[int]] = {}
    head = title(rng, chinese) if running else ""
    gap, side, low = rng.choice([14.0, 18.0, 22.0]), rng.choice([54, 72]), 96.0
    width = (size[0] - 2 * side - gap * (columns - 1)) / columns

    def told(canvas: Any, _: str, label: str) -> None:
        number, note = divmod(int(label), 2)
        if note:
            notes.setdefault(canvas.getPageNumber(), []).append(number)
        else:
            begun.setdefault(number, canvas.getPageNumber())

    def start(canvas: Any, _: Any) -> None:
        canvas.setNamedCB("told", told)
        canvas.setFont(plain, 8)
        canvas.drawString(side, size[1] - 30, head)
        canvas.drawCentredString(size[0] / 2, 24, f"{canvas.getPageNumber()}")

    def end(canvas: Any, _: Any) -> None:
        at = low - 12
        own = notes.get(canvas.getPageNumber(), [])
        if own:
            canvas.line(side, at + 3, side + 90, at + 3)
        for number in own:
            text = platypus.Paragraph(f"{mark_of[number]} {html.escape(truth.notes[number])}", small)
            _, high = text.wrap(width, 200)
            text.drawOn(canvas, side, at - high)
            at -= high

    mark_of = {number: place for place, number in enumerate(truth.notes, 1)}
    story: list[Any] = []
    for number, block in enumerate(truth.blocks):
        mark = f'<onDraw name="told" label="{2 * number}"/>'
        if isinstance(block, Heading):
            story.append(platypus.Paragraph(mark + html.escape(block.text), heads[block.level - 1]))
        elif isinstance(block, Paragraph):
            raised = "" if chinese else f"<super>{mark_of.get(number)}</super>"  # lines of Chinese would have it alone
            note = f'{raised}<onDraw name="told" label="{2 * number + 1}"/>' if number in mark_of else ""
            story.append(platypus.Paragraph(mark + html.escape(block.text) + note, body))
        elif isinstance(block, Bullets):
            items = [
                platypus.Paragraph((mark if not i else "") + html.escape(text), body)
                for i, (_, text) in enumerate(block.items)
            ]
            story.append(
                platypus.ListFlowable(items, bulletType="bullet", start="•", bulletFontName="Helvetica", leftIndent=16)
            )
        elif isinstance(block, Table):
            made, kind = _reportlab_table(platypus, block, rng, plain, bold, scale[3], width)
            # Rows that no rules hold together are not torn apart.
            room = 90 if kind not in ("lines", "none", "zebra") or len(block.rows) > 30 else 20 * len(block.rows) + 10
            story += [platypus.CondPageBreak(room), _Mark(told, number), made]
            story.append(platypus.Spacer(1, 10))
    frames = [
        platypus.Frame(side + n * (width + gap), low, width, size[1] - low - 54, leftPadding=0, rightPadding=0)
        for n in range(columns)
    ]
    template = platypus.PageTemplate(frames=frames, onPage=start, onPageEnd=end)
    platypus.BaseDocTemplate(str(path), pagesize=size, pageTemplates=[template]).build(story)
    order: list[Block] = []
    last = max(begun.values(), default=1)
    if last == 1 and running:  # what stands above one page alone is no running head
        return reportlab_pdf(truth, path, seed, chinese=chinese, columns=columns, look=look, running=False)
    for page in range(1, last + 1):
        for number, block in enumerate(truth.blocks):
            if begun.get(number) == page:
                noted = isinstance(block, Paragraph) and number in mark_of and not chinese
                order.append(Paragraph(f"{block.text}{mark_of[number]}") if noted else block)
        order += [Paragraph(f"{mark_of[number]} {truth.notes[number]}") for number in notes.get(page, [])]
    return order


def _Mark(told: Callable[..., None], number: int) -> Any:  # noqa: N802 (makes one)
    """A flowable of no size that tells its page."""
    from reportlab.platypus import Flowable

    class Mark(Flowable):  # type: ignore[misc]
        def wrap(self, *_: float) -> tuple[float, float]:
            return 0.0, 0.0

        def draw(self) -> None:
            told(self.canv, "", str(2 * number))

    return Mark()


def _reportlab_table(
    platypus: Any, block: Table, rng: random.Random, plain: str, bold: str, size: float, width: float
) -> tuple[Any, str]:
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.pdfbase import pdfmetrics

    spans = spans_of(block.rows, block.header)
    rows = [list(row) for row in block.rows]
    for top, left, bottom, right in spans:
        for row in range(top, bottom + 1):
            for column in range(left, right + 1):
                if (row, column) != (top, left):
                    rows[row][column] = ""
    looks = [
        ParagraphStyle(
            f"cell{n}",
            fontName=font,
            fontSize=0.9 * size,
            leading=1.1 * size,
            wordWrap="CJK" if plain == "Wqy" else None,
        )
        for n, font in enumerate((plain, bold))
    ]
    kind = (
        rng.choice(["grid", "box", "shaded", "levels", "zebra"])
        if spans or len(rows) > 30
        else rng.choice(["grid", "lines", "none", "shaded", "levels", "zebra"])
    )
    columns = len(rows[0])
    too_long = any(pdfmetrics.stringWidth(text, bold, size) > width / columns - 22 for row in rows for text in row)
    kind = "grid" if too_long and kind in ("lines", "none") else kind
    kind = "grid" if spans and kind == "zebra" else kind  # nobody could tell which cells are one
    style: list[Any] = [
        ("FONT", (0, 0), (-1, -1), plain, size * 0.95),
        ("FONT", (0, 0), (-1, block.header - 1), bold, size * 0.95),
    ]
    style += [("SPAN", (left, top), (right, bottom)) for top, left, bottom, right in spans]
    style.append(("VALIGN", (0, 0), (-1, -1), rng.choice(["TOP", "MIDDLE"])))
    if kind in ("grid", "shaded"):
        style.append(("GRID", (0, 0), (-1, -1), rng.choice([0.4, 0.8]), rng.choice(["black", "grey"])))
    if kind == "shaded":
        style.append(("BACKGROUND", (0, 0), (-1, block.header - 1), "lightgrey"))
    if kind == "box":
        style += [("BOX", (0, 0), (-1, -1), 1, "black"), ("INNERGRID", (0, 0), (-1, -1), 0.3, "black")]
    if kind == "levels":
        style += [("LINEABOVE", (0, 0), (-1, 0), 1, "black"), ("LINEBELOW", (0, -1), (-1, -1), 1, "black")]
        for row in range(len(rows) - 1):
            free = {
                column for top, left, bottom, right in spans if top <= row < bottom for column in range(left, right + 1)
            }
            style += [
                ("LINEBELOW", (column, row), (column, row), 0.4, "grey")
                for column in range(columns)
                if column not in free
            ]
    if kind == "zebra":
        style.append(("ROWBACKGROUNDS", (0, block.header), (-1, -1), ["whitesmoke", "white"]))
        style.append(("BACKGROUND", (0, 0), (-1, block.header - 1), "lightgrey"))
    if kind == "lines":
        style += [("LINEABOVE", (0, 0), (-1, 0), 1, "black"), ("LINEBELOW", (0, 0), (-1, 0), 0.5, "black")]
        style.append(("LINEBELOW", (0, -1), (-1, -1), 1, "black"))
    if kind not in ("lines", "none") and (too_long or width < 300 or rng.random() < 0.5):  # lines of cells are broken
        rows = [
            [platypus.Paragraph(html.escape(text), looks[number < block.header]) if text else "" for text in row]
            for number, row in enumerate(rows)
        ]
    made = platypus.Table(rows, colWidths=[width / columns] * columns, repeatRows=block.header, style=style)
    return made, kind
