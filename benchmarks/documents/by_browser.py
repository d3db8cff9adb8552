"""Documents as pages, and as PDF files that Chromium prints of them."""

# ruff: noqa: S311 (documents are no secrets)
from __future__ import annotations

import html
import random
import subprocess
from pathlib import Path

from documents.truth import Truth, spans_of

from rag.document import Block, Bullets, Heading, Paragraph, Table

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
