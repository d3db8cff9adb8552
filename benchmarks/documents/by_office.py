"""Documents as files of Word, Excel and PowerPoint."""

# ruff: noqa: PLC0415 (packages that make documents are imported where they do)
from __future__ import annotations

from pathlib import Path

from documents.truth import Truth, spans_of

from rag.document import Bullets, Heading, Paragraph, Table


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
