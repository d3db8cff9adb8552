"""How well documents are read whose content is known: cells of tables, reading order, levels of headings, characters of scans.

`python benchmarks/extraction.py [--seeds 3] [--scans 4] [--pages 1600] [--first 0] [--keep FOLDER]`

Documents are made by reportlab, Chromium (where it is installed), python-docx, python-pptx and openpyxl, in several layouts and
fonts, in English and Chinese; scans are drawings of such pages, turned, skewed and made noisy. Another `--first` gives others.
"""

# ruff: noqa: PLC0415, S311 (packages that make documents are imported where they do; documents are no secrets)
from __future__ import annotations

import argparse
import html
import random
import re
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from rag.document import Block, Bullets, Figure, Heading, Paragraph, Table
from rag.pages.page import joined
from rag.readers import reader_of

WORDS = """time year people way day man thing woman life child world school state family student group country problem hand part
place case week company system program question work government number night point home water room mother area money story fact
month lot right study book eye job word business issue side kind head house service friend father power hour game line end member
law car city community name president team minute idea body information back parent face others level office door health person
art war history party result change morning reason research girl guy moment air teacher force education customer warehouse refund
parcel invoice supplier voucher contract schedule budget quarter revenue approval manager holiday insurance equipment delivery
returns after before during within without between against through because although whenever takes gives keeps shows needs
follows reaches allows requires describes includes new good first last long great little own other old right big high different
small large next early young important few public bad same able quickly often usually never always sometimes together""".split()  # noqa: SIM905 (easier to read)
PHRASES = """公司 员工 每年 需要 提前 申请 假期 经理 批准 客户 退款 五个工作日 之内 到账 仓库 检查 包裹 订单 合同 供应商 发票 金额 超过
部门 负责 审核 预算 季度 收入 增长 利润 市场 研究 技术 产品 质量 管理 系统 数据 安全 规定 办法 根据 按照 如果 但是 因为 所以 可以 应当
不得 必须 及时 通知 财务 人员 培训 考核 结果 公布 设备 维护 保养 定期 进行 记录 保存 三年 以上 出差 费用 报销 标准 国内 国外 城市 交通
住宿 会议 讨论 决定 实施 计划 项目 目标 完成 时间 地点 参加 组织 学习 提高 水平 服务 态度 热情 周到""".split()  # noqa: SIM905 (as above)
SHAPES = (
    "The {0} {1} the {2} of a {3}",
    "Each {0} that {1} a {2} is kept for {n} days",
    "{n} of the {0} were {1} in {2}",
)
SCALES = ((20, 15, 12.5, 10), (24, 18, 14, 11), (18, 14, 11.5, 9.5), (16, 13.5, 11.4, 9))
"""Points of three levels of headings and of running text."""
CHINESE_FONT = Path("/usr/share/fonts/truetype/wqy/wqy-microhei.ttc")
SERIF = Path("/usr/share/fonts/truetype/dejavu/DejaVuSerif.ttf")


# --------------------------------------------------------------------------------------------- what is known


@dataclass
class Truth:
    """A document.

    Attributes:
        blocks: Its blocks, without places.
        notes: Footnotes by the block that they belong to.
    """

    blocks: list[Block] = field(default_factory=list)
    notes: dict[int, str] = field(default_factory=dict)


def sentence(rng: random.Random, chinese: bool) -> str:
    if chinese:
        parts = ["".join(rng.choices(PHRASES, k=rng.randint(3, 6))) for _ in range(rng.randint(1, 3))]
        return "，".join(parts) + "。"
    words = rng.choices(WORDS, k=rng.randint(6, 16))
    if rng.random() < 0.3:
        words[rng.randrange(len(words))] = rng.choice(
            [
                f"{rng.randint(2, 999)}",
                f"{rng.randint(1, 99)}.{rng.randint(10, 99)}",
                f"{rng.randint(2, 90)}%",
                "e-mail",
            ]
        )
    if rng.random() < 0.3:
        words[rng.randrange(len(words) - 1)] += ","
    text = " ".join(words)
    return text[0].upper() + text[1:] + "."


def paragraph(rng: random.Random, chinese: bool, least: int = 2, most: int = 6) -> str:
    return ("" if chinese else " ").join(sentence(rng, chinese) for _ in range(rng.randint(least, most)))


def title(rng: random.Random, chinese: bool) -> str:
    if chinese:
        return "".join(rng.choices(PHRASES, k=rng.randint(2, 4)))
    words = rng.choices(WORDS, k=rng.randint(1, 4))
    return " ".join(words).capitalize()


def cell(rng: random.Random, chinese: bool, column: int, longest: int = 18) -> str:
    if column == 0:
        return title(rng, chinese)[: longest // 2 if chinese else longest].strip()
    kind = rng.randrange(4)
    if kind == 0:
        return f"{rng.randint(0, 99_999):,}"
    if kind == 1:
        return f"{rng.uniform(0, 999):.2f}"
    if kind == 2:
        return f"{2000 + rng.randint(0, 30)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
    return rng.choice(PHRASES if chinese else WORDS)


def table(rng: random.Random, chinese: bool, rows: int, merged: bool, most: int = 5) -> Table:
    """A table; a merged one has a group above two columns, and a first column that goes over rows."""
    columns = rng.randint(3, most)
    longest = 18 if most > 3 else 10
    names = [title(rng, chinese)[: 6 if chinese else min(longest, 12)].strip() for _ in range(columns)]
    body = [[cell(rng, chinese, column, longest) for column in range(columns)] for _ in range(rows)]
    if not merged:
        return Table((tuple(names), *map(tuple, body)), 1)
    first = [names[0], names[1], names[1], *names[3:]]
    second = [names[0], cell(rng, chinese, 0, longest), cell(rng, chinese, 0, longest), *names[3:]]
    for row in range(1, rows, 3):
        body[row][0] = body[row - 1][0]
    return Table((tuple(first), tuple(second), *map(tuple, body)), 2)


def document(
    seed: int,
    *,
    chinese: bool,
    sections: int = 4,
    notes: bool = True,
    long_table: int = 60,
    most: int = 5,
    least: int = 2,
) -> Truth:
    """A document with three levels of headings, lists, tables and footnotes."""
    rng = random.Random(seed)

    def prose() -> Paragraph:
        return Paragraph(paragraph(rng, chinese, least, least + 4))

    truth = Truth([Heading(title(rng, chinese), 1), prose()])
    for number in range(sections):
        truth.blocks.append(Heading(title(rng, chinese), 2))
        for part in range(rng.randint(1, 2)):
            if part or rng.random() < 0.6:
                truth.blocks += [prose(), Heading(title(rng, chinese), 3)]
            truth.blocks += [prose() for _ in range(rng.randint(1, 3))]
            if notes and rng.random() < 0.5:
                truth.notes[len(truth.blocks) - 1] = sentence(rng, chinese)
        kind = number % 4
        if kind == 0:
            truth.blocks.append(table(rng, chinese, rng.randint(4, 8), True, most))
        elif kind == 1:
            items = tuple((0, sentence(rng, chinese)) for _ in range(rng.randint(2, 5)))
            truth.blocks.append(Bullets(items))
        elif kind == 2 and long_table:
            truth.blocks.append(table(rng, chinese, long_table, False, most))
        elif kind == 3:
            truth.blocks.append(table(rng, chinese, rng.randint(4, 8), False, most))
        truth.blocks.append(prose())
    return truth


def spans_of(rows: tuple[tuple[str, ...], ...], header: int) -> list[tuple[int, int, int, int]]:
    """Merged cells of a table as `document` makes them: top, left, bottom, right."""
    if header < 2:
        return []
    found = [(0, 1, 0, 2), *((0, column, 1, column) for column in range(len(rows[0])) if column not in (1, 2))]
    return found + [
        (row - 1, 0, row, 0)
        for row in range(header + 1, len(rows))
        if (row - header) % 3 == 1 and rows[row][0] == rows[row - 1][0]
    ]


# ------------------------------------------------------------------------------------------------- reportlab


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
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    rng = random.Random(seed * 7 + 1)
    size = rng.choice([pagesizes.A4, pagesizes.LETTER]) if columns == 1 else pagesizes.A4
    scale = SCALES[(seed if look is None else look) % len(SCALES)]
    fonts = [("Helvetica", "Helvetica-Bold"), ("Times-Roman", "Times-Bold"), ("Serif", "Serif")]
    if SERIF.exists():
        pdfmetrics.registerFont(TTFont("Serif", str(SERIF)))
    else:
        fonts.pop()
    plain, bold = fonts[seed % len(fonts)]
    if chinese:
        pdfmetrics.registerFont(TTFont("Wqy", str(CHINESE_FONT), subfontIndex=0))
        plain = bold = "Wqy"
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


# ----------------------------------------------------------------------------------------------- other files


TABLES = [
    "td, th { border: 1px solid black }",
    "td, th { border: 2px solid #444 }",
    "td, th { border-bottom: 1px solid #999 } table { border-top: 1px solid #999 }",
    "td, th { border: 1px solid #bbb } th { background: #ddd }",
]
"""Rules of tables that a browser draws."""


def html_of(truth: Truth, seed: int, *, columns: int = 1, chinese: bool = False) -> str:
    """A document as a page."""
    rng = random.Random(seed * 11 + 3)
    font = rng.choice(["sans-serif", "serif", "Arial", "DejaVu Sans"])
    size = rng.choice([10, 11, 12])
    rules = [
        f"@page {{ size: A4; margin: {rng.choice([15, 20, 25])}mm }}",
        f"body {{ font: {size}pt/{rng.choice([1.3, 1.5])} {font}, 'WenQuanYi Micro Hei' }}",
        "table { border-collapse: collapse; margin: 8px 0; break-inside: auto } thead { display: table-header-group }",
        f"td, th {{ padding: 3px 7px; text-align: left; vertical-align: {rng.choice(['top', 'middle'])} }}",
        rng.choice(TABLES),
        "tr { break-inside: avoid } h1, h2, h3 { break-after: avoid }",
        f".flow {{ columns: {columns}; column-gap: {rng.choice([6, 8, 12])}mm }}" if columns > 1 else "",
        f"table {{ width: {rng.choice(['auto', '60%', '100%'])} }}" if columns > 1 else "",
        rng.choice(["", "th { background: #ddd }"]),
        # Where lines end anywhere and none is indented, nobody can tell whether a paragraph goes on in the next column.
        # In Chinese they always end near the edge, and sentences at the end of a line are as frequent as paragraphs that end there.
        rng.choice(["", "p { text-align: justify }"] if columns == 1 and not chinese else ["p { text-indent: 2em }"]),
    ]
    made: list[str] = []
    flowing = False
    for block in truth.blocks:
        # Text flows in columns; headings and tables go over all of them.
        flows = columns > 1 and isinstance(block, Paragraph | Bullets)
        if flows != flowing:
            made.append('<div class="flow">' if flows else "</div>")
            flowing = flows
        made.append(_html_block(block))
    if flowing:
        made.append("</div>")
    return f"<!doctype html><meta charset=utf-8><style>{' '.join(rules)}</style><body>{''.join(made)}</body>"


def _html_block(block: Block) -> str:
    if isinstance(block, Heading):
        return f"<h{block.level}>{html.escape(block.text)}</h{block.level}>"
    if isinstance(block, Paragraph):
        return f"<p>{html.escape(block.text)}</p>"
    if isinstance(block, Bullets):
        return "<ul>" + "".join(f"<li>{html.escape(text)}</li>" for _, text in block.items) + "</ul>"
    assert isinstance(block, Table)
    wide = {
        (top, left): (bottom - top + 1, right - left + 1)
        for top, left, bottom, right in spans_of(block.rows, block.header)
    }
    gone = {
        (row, column)
        for (top, left), (high, across) in wide.items()
        for row in range(top, top + high)
        for column in range(left, left + across)
    } - wide.keys()
    rows = []
    for number, row in enumerate(block.rows):
        tag = "th" if number < block.header else "td"
        cells = []
        for column, text in enumerate(row):
            if (number, column) not in gone:
                high, across = wide.get((number, column), (1, 1))
                spans = (f" rowspan={high}" if high > 1 else "") + (f" colspan={across}" if across > 1 else "")
                cells.append(f"<{tag}{spans}>{html.escape(text)}</{tag}>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    head, body = "".join(rows[: block.header]), "".join(rows[block.header :])
    return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"


def chromium_pdf(page: str, path: Path) -> None:
    """Print a page."""
    source = path.with_suffix(".html")
    source.write_text(page, encoding="utf-8")
    subprocess.run(
        ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer", f"--print-to-pdf={path}",
         source.as_uri()],
        check=True, capture_output=True, timeout=180,
    )  # fmt: skip


def word_file(truth: Truth, path: Path) -> None:
    import docx

    made = docx.Document()
    for block in truth.blocks:
        if isinstance(block, Heading):
            made.add_heading(block.text, block.level)
        elif isinstance(block, Paragraph):
            made.add_paragraph(block.text)
        elif isinstance(block, Bullets):
            for _, text in block.items:
                made.add_paragraph(text, "List Bullet")
        elif isinstance(block, Table):
            grid = made.add_table(len(block.rows), len(block.rows[0]))
            spans = spans_of(block.rows, block.header)
            for row, texts in enumerate(block.rows):
                cells = grid.rows[row].cells
                for column, text in enumerate(texts):
                    cells[column].text = text
            for top, left, bottom, right in spans:
                text = block.rows[top][left]
                grid.cell(top, left).merge(grid.cell(bottom, right)).text = text
    made.save(str(path))


def excel_file(truth: Truth, path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.active)
    for number, block in enumerate(block for block in truth.blocks if isinstance(block, Table)):
        sheet = book.create_sheet(f"sheet {number}")
        for row in block.rows:
            sheet.append(row)
        for top, left, bottom, right in spans_of(block.rows, block.header):
            sheet.merge_cells(start_row=top + 1, start_column=left + 1, end_row=bottom + 1, end_column=right + 1)
    book.save(path)


def powerpoint_file(truth: Truth, path: Path) -> None:
    import pptx
    from pptx.util import Inches

    deck = pptx.Presentation()
    for block in truth.blocks:
        if isinstance(block, Table):
            slide = deck.slides.add_slide(deck.slide_layouts[6])
            grid = slide.shapes.add_table(
                len(block.rows), len(block.rows[0]), Inches(1), Inches(1), Inches(8), Inches(5)
            ).table
            for row, texts in enumerate(block.rows):
                for column, text in enumerate(texts):
                    grid.cell(row, column).text = text
            for top, left, bottom, right in spans_of(block.rows, block.header):
                for row in range(top, bottom + 1):
                    for column in range(left, right + 1):
                        if (row, column) != (top, left):
                            grid.cell(row, column).text = ""
                grid.cell(top, left).merge(grid.cell(bottom, right))
    deck.save(str(path))


# ----------------------------------------------------------------------------------------------------- scans


def scanned(pdf: Path, path: Path, seed: int, *, angle: float, dpi: int, noise: float = 4.0, pages: int = 0) -> None:
    """Draw a PDF as a scanner would: turned, a little blurred, noisy, as JPEG."""
    import pypdfium2
    from PIL import Image, ImageFilter

    rng = np.random.default_rng(seed)
    source = pypdfium2.PdfDocument(str(pdf))
    drawn = []
    for number in range(min(len(source), pages or len(source))):
        picture = source[number].render(scale=dpi / 72).to_pil().convert("L")
        quarter, skew = round(angle / 90) * 90, angle - round(angle / 90) * 90
        picture = picture.rotate(skew, resample=Image.Resampling.BICUBIC, fillcolor=255)
        picture = picture.rotate(quarter, expand=True).filter(ImageFilter.GaussianBlur(0.5))
        grey = np.asarray(picture, np.float32)
        grey = 12 + grey * 0.92 + rng.normal(0, noise, grey.shape)
        drawn.append(Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)))
    source.close()
    drawn[0].save(path, "PDF", resolution=dpi, save_all=True, append_images=drawn[1:], quality=75)


# -------------------------------------------------------------------------------------------------- measures


def plain(text: str) -> str:
    """A text without what looks alike; reportlab sets a space between lines of Chinese where it divides a paragraph."""
    return re.sub(r"(?<=[\u2e80-\u9fff\uff00-\uffef]) (?=[\u2e80-\u9fff\uff00-\uffef])", "", " ".join(text.split()))


def distance(a: str, b: str) -> int:
    """How many characters must be changed, added or left out."""
    if not a or not b:
        return max(len(a), len(b))
    second = np.array([ord(c) for c in b])
    row = np.arange(len(b) + 1)
    steps = np.arange(len(b) + 1)
    for number, character in enumerate(a, 1):
        changed = row[:-1] + (second != ord(character))
        best = np.minimum(row[1:] + 1, changed)
        best = np.concatenate([[number], best])
        row = np.minimum.accumulate(best - steps) + steps
    return int(row[-1])


@dataclass
class Score:
    """What was counted; all of these can be added."""

    cells: int = 0
    cells_right: int = 0
    items: int = 0
    items_right: int = 0
    headings: int = 0
    headings_right: int = 0
    characters: int = 0
    errors: int = 0
    wrong: list[str] = field(default_factory=list)

    def __add__(self, other: Score) -> Score:
        values = {name: getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__}
        return Score(**values)

    def row(self, name: str) -> dict[str, Any]:
        def share(right: int, of: int) -> str:
            return f"{100 * right / of:.2f} %" if of else ""

        return {
            "documents": name,
            "cells": share(self.cells_right, self.cells),
            "reading order": share(self.items_right, self.items),
            "levels": share(self.headings_right, self.headings),
            "character error": f"{100 * self.errors / self.characters:.2f} %" if self.characters else "",
        }


def compared(truth: list[Block], found: list[Block], *, read: bool = False, only: type[Block] | None = None) -> Score:
    """How much of a document is as it should be.

    Args:
        truth: Its blocks.
        found: What was read.
        read: Whether it is a scan: then texts need be alike only, and their characters are compared.
        only: What the file could hold.
    """
    score = Score()
    if only is not None:
        truth = [block for block in truth if isinstance(block, only)]
    goal, told = items_of(truth), items_of(found)
    pairs = matched(goal, told, 0.8 if read else 1.0)
    score.items, score.items_right = max(len(goal), len(told)), len(pairs)
    by_goal = dict(pairs)
    for number, (kind, text, level) in enumerate(goal):
        if kind == "heading":
            score.headings += 1
            right = number in by_goal and told[by_goal[number]][0] == "heading" and told[by_goal[number]][2] == level
            score.headings_right += right
            if not right:
                score.wrong.append(f"level {level}: {text!r} is {told[by_goal[number]] if number in by_goal else None}")
        if number not in by_goal:
            score.wrong.append(f"{kind} not in its place: {text[:100]!r}")
    taken = set(by_goal.values())
    score.wrong += [f"not in the document: {item[1][:100]!r}" for n, item in enumerate(told) if n not in taken]
    _compare_tables(
        [b for b in truth if isinstance(b, Table)], [b for b in found if isinstance(b, Table)], score, read=read
    )
    if read:
        a = "\n".join(text for _, text, _ in goal)
        b = "\n".join(text for _, text, _ in told)
        score.characters, score.errors = len(a), distance(a, b)
    return score


def items_of(blocks: Iterable[Block]) -> list[tuple[str, str, int]]:
    """Blocks as kind, text and level; each item of a list by itself."""
    found: list[tuple[str, str, int]] = []
    for block in blocks:
        if isinstance(block, Heading):
            found.append(("heading", plain(block.text), block.level))
        elif isinstance(block, Paragraph):
            found.append(("paragraph", plain(block.text), 0))
        elif isinstance(block, Bullets):
            found += [("item", plain(text), 0) for _, text in block.items]
        elif isinstance(block, Table):
            found.append(("table", " ".join(plain(text) for text in block.rows[-1]), 0))
        elif isinstance(block, Figure) and (block.caption or block.text):
            found.append(("figure", plain(f"{block.caption} {block.text}"), 0))
    return found


def matched(goal: list[tuple[str, str, int]], told: list[tuple[str, str, int]], alike: float) -> list[tuple[int, int]]:
    """Items of one list that are in the other too, in the same order: the longest such list."""
    same = np.zeros((len(goal) + 1, len(told) + 1), np.int64)
    equal = np.zeros((len(goal), len(told)), bool)
    for i, (_, text, _) in enumerate(goal):
        for j, (_, other, _) in enumerate(told):
            equal[i, j] = text == other or (
                alike < 1
                and abs(len(text) - len(other)) <= (1 - alike) * len(text) + 2
                and distance(text, other) <= (1 - alike) * len(text) + 1
            )
    for i in range(len(goal) - 1, -1, -1):
        for j in range(len(told) - 1, -1, -1):
            same[i, j] = max(same[i + 1, j + 1] + equal[i, j], same[i + 1, j], same[i, j + 1])
    pairs, i, j = [], 0, 0
    while i < len(goal) and j < len(told):
        if equal[i, j] and same[i, j] == same[i + 1, j + 1] + 1:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif same[i + 1, j] >= same[i, j + 1]:
            i += 1
        else:
            j += 1
    return pairs


def _compare_tables(goal: list[Table], told: list[Table], score: Score, *, read: bool) -> None:
    """Cells that are the same; a table that is not there has none."""
    left = list(told)
    for table in goal:

        def common(other: Table, table: Table = table) -> int:
            return sum(
                _same(a, b, read)
                for r, s in zip(table.rows, other.rows, strict=False)
                for a, b in zip(r, s, strict=False)
            )

        best = max(left, key=common, default=None)
        right = common(best) if best is not None else 0
        if best is not None and right:
            left.remove(best)
        size = len(table.rows) * len(table.rows[0])
        score.cells += max(size, len(best.rows) * len(best.rows[0])) if best is not None and right else size
        score.cells_right += right
        if right < size:
            score.wrong.append(
                f"table {table.rows[0]}: {right} of {size} cells; {None if best is None else best.rows[:3]}"
            )


def _same(a: str, b: str, read: bool) -> bool:
    a, b = plain(a), plain(b)
    return a == b or (read and a.replace(" ", "") == b.replace(" ", ""))


# ------------------------------------------------------------------------------------------------------- main


def undecided(truth: list[Block], found: list[Block]) -> list[Block]:
    """What was read, with paragraphs as in the document where nobody could tell.

    A line that is full and ends a sentence at the end of a page, and no indent after it: the paragraph may go on or not.
    """
    apart = {
        joined([a.text, b.text]): (a, b)
        for a, b in pairwise(truth)
        if isinstance(a, Paragraph) and isinstance(b, Paragraph)
    }
    made: list[Block] = []
    for block, after in zip_longest(found, found[1:]):
        last = after is None or (after.place.page or 0) > (block.place.page or 0)
        made += apart.get(block.text, (block,)) if last and isinstance(block, Paragraph) else (block,)
    return made


def read(path: Path) -> list[Block]:
    return list(reader_of(path).read(path))


def texts(folder: Path, seeds: Iterable[int]) -> dict[str, Score]:
    """Documents with text in them."""
    found: dict[str, Score] = {}

    def add(name: str, score: Score) -> None:
        found[name] = found.get(name, Score()) + score

    chromium = shutil.which("chromium") is not None
    languages = [False, True] if CHINESE_FONT.exists() else [False]
    for seed in seeds:
        for chinese in languages:
            kind = f"{seed}-{'zh' if chinese else 'en'}"
            for columns in (1, 2):
                truth = document(seed * 2 + chinese + 1000 * columns, chinese=chinese, most=5 if columns == 1 else 3)
                path = folder / f"{kind}-{columns}.pdf"
                order = reportlab_pdf(truth, path, seed, chinese=chinese, columns=columns)
                add(f"PDF by reportlab, {columns} column(s)", compared(order, read(path)))
                if chromium:
                    path = folder / f"{kind}-{columns}-chromium.pdf"
                    if columns == 2:  # paragraphs that have some lines in each column
                        truth = document(seed * 2 + chinese + 1000 * columns, chinese=chinese, most=3, least=5)
                    chromium_pdf(html_of(truth, seed, columns=columns, chinese=chinese), path)
                    told = undecided(truth.blocks, read(path)) if columns == 1 else read(path)
                    add(f"PDF by Chromium, {columns} column(s)", compared(truth.blocks, told))
            path = folder / f"{kind}.html"
            path.write_text(html_of(truth, seed), encoding="utf-8")
            add("HTML", compared(truth.blocks, read(path)))
            word_file(truth, folder / f"{kind}.docx")
            add("Word", compared(truth.blocks, read(folder / f"{kind}.docx")))
            for name, write in (("xlsx", excel_file), ("pptx", powerpoint_file)):
                write(truth, folder / f"{kind}.{name}")
                add(
                    {"xlsx": "Excel", "pptx": "PowerPoint"}[name],
                    compared(truth.blocks, _tables(read(folder / f"{kind}.{name}")), only=Table),
                )
    return found


def _tables(blocks: list[Block]) -> list[Block]:
    return [block for block in blocks if isinstance(block, Table)]


def scans(folder: Path, count: int, first: int) -> tuple[dict[str, Score], float]:
    """Scanned documents, and the processor's seconds a page."""
    found: dict[str, Score] = {}
    angles = [0.0, 90.0, 1.3, 180.0, 270.0, -2.2, 91.1, 3.0]
    seconds, pages = 0.0, 0
    languages = [False, True] if CHINESE_FONT.exists() else [False]
    for number in range(count):
        seed = first + number
        chinese = languages[number % len(languages)]
        columns = 1 + (number // 2) % 2
        truth = document(
            900 + seed, chinese=chinese, sections=2, notes=False, long_table=0, most=5 if columns == 1 else 3
        )
        source, path = folder / f"scan-{seed}-text.pdf", folder / f"scan-{seed}.pdf"
        order = reportlab_pdf(truth, source, seed, chinese=chinese, columns=columns, look=seed % 3)
        angle = angles[seed % len(angles)]
        scanned(source, path, seed, angle=angle, dpi=(200, 150, 300)[seed % 3])
        begun = time.process_time()
        blocks = read(path)
        seconds += time.process_time() - begun
        pages += max(block.place.page or 1 for block in blocks)
        name = f"scans, {'Chinese' if chinese else 'English'}"
        score = compared(order, blocks, read=True)
        score.wrong = [f"{path.name} at {angle}: {told}" for told in score.wrong]
        found[name] = found.get(name, Score()) + score
    return found, seconds / max(pages, 1)


def long_file(folder: Path, pages: int) -> dict[str, Any]:
    """A long PDF, read in a process of its own: pages a second of its processor, and its memory."""
    from reportlab.lib.pagesizes import A4
    from reportlab.pdfgen.canvas import Canvas

    path = folder / "long.pdf"
    canvas = Canvas(str(path), pagesize=A4)
    rng = random.Random(5)
    for number in range(pages):
        canvas.setFont("Helvetica-Bold", 16)
        canvas.drawString(60, 780, title(rng, False))
        canvas.setFont("Helvetica", 10)
        for line in range(50):
            canvas.drawString(60, 750 - 14 * line, sentence(rng, False)[:95])
        canvas.drawString(290, 24, str(number + 1))
        canvas.showPage()
    canvas.save()
    code = (
        "import re, sys, time; from pathlib import Path; from rag.readers import reader_of\n"
        "path = Path(sys.argv[1]); begun = time.process_time(); blocks = 0\n"
        "for block in reader_of(path).read(path): blocks += 1\n"
        # ru_maxrss of a new process is that of the one that started it, if that was larger.
        "peak = re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text()).group(1)\n"
        "print(time.process_time() - begun, peak, blocks)"
    )
    import sys

    out = subprocess.run(
        [sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True
    ).stdout.split()
    return {
        "pages": pages,
        "megabytes": path.stat().st_size >> 20,
        "pages/s": pages / float(out[0]),
        "peak MB": int(out[1]) / 1024,
    }


def main() -> None:
    """Measure all, and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="documents of each kind and language")
    parser.add_argument("--scans", type=int, default=4, help="scanned documents")
    parser.add_argument("--pages", type=int, default=1600, help="of the long PDF; 0: none")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--keep", type=Path, help="folder where documents stay")
    parser.add_argument("--save", action="store_true", help="write a dated result")
    given = parser.parse_args()
    from record import save
    from record import table as printed

    with tempfile.TemporaryDirectory() as made:
        folder = given.keep or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        scores = texts(folder, range(given.first, given.first + given.seeds))
        each = 0.0
        if given.scans:
            more, each = scans(folder, given.scans, given.first)
            scores |= more
        for name, score in scores.items():
            for told in score.wrong[:12]:
                print(f"{name}: {told}")
        rows = [score.row(name) for name, score in scores.items()]
        printed(rows)
        if each:
            print(
                f"{each:.1f} processor seconds a scanned page; peak of this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MB"
            )
        long = long_file(folder, given.pages) if given.pages else {}
        if long:
            printed([long])
        if given.save:
            save("extraction", {"scores": rows, "seconds_a_scanned_page": each, "long": long})


if __name__ == "__main__":
    main()
