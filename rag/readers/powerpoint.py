"""`powerpoint`: slide by slide, from top to bottom: titles, texts, lists, tables, pictures by what they are called, notes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

from rag.document import Block, Bullets, Figure, Heading, Paragraph, Place, Table
from rag.readers import ReaderConfig
from rag.readers._archive import check_archive, opened

GROUPS = 16
"""Levels of groups inside each other."""
BAND = 20
"""Shapes whose tops are that near, in parts of the height, stand beside each other and are read from the left."""


class Config(ReaderConfig):
    """Config of `powerpoint`."""

    endings: ClassVar[tuple[str, ...]] = (".pptx", ".pptm", ".ppsx")

    type: Literal["powerpoint"] = "powerpoint"
    notes: bool = True
    """Whether the speaker's notes are read."""

    def read(self, path: Path) -> Iterator[Block]:
        """Its slides. Macros are never looked at."""
        self.check(path)
        check_archive(path, "ppt/presentation.xml")
        deck = opened(path, "pptx", "python-pptx", lambda pptx: pptx.Presentation(str(path)))
        width, height = deck.slide_width or 1, deck.slide_height or 1
        for number, slide in enumerate(deck.slides, 1):
            title = slide.shapes.title
            name = " ".join(title.text_frame.text.split()) if title is not None and title.has_text_frame else ""
            yield Heading(name or f"{number}", 1, Place(page=number))
            shapes = [shape for shape in _flat(slide.shapes, 0) if title is None or shape.shape_id != title.shape_id]
            shapes.sort(key=lambda shape: (round(BAND * (shape.top or 0) / height), shape.left or 0))
            for shape in shapes:
                yield from _blocks(shape, _place(shape, number, width, height))
            if self.notes and slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
                text = " ".join(slide.notes_slide.notes_text_frame.text.split())
                if text:
                    yield Paragraph(text, Place(page=number))


def _flat(shapes: Any, depth: int) -> Iterator[Any]:
    """Shapes, and those in groups."""
    for shape in shapes:
        if hasattr(shape, "shapes") and depth < GROUPS:
            yield from _flat(shape.shapes, depth + 1)
        else:
            yield shape


def _place(shape: Any, page: int, width: int, height: int) -> Place:
    """Where a shape stands."""
    if None in (shape.left, shape.top, shape.width, shape.height):
        return Place(page=page)
    left, top = shape.left / width, shape.top / height
    right, bottom = left + shape.width / width, top + shape.height / height
    edges = (min(max(round(edge, 4), 0.0), 1.0) for edge in (left, top, right, bottom))
    return Place(page, tuple(edges))


def _blocks(shape: Any, place: Place) -> Iterator[Block]:
    """What a shape says."""
    if getattr(shape, "has_table", False):
        cells = [[_cell(cell) for cell in row.cells] for row in shape.table.rows]
        _fill(shape.table, cells)
        if any(any(row) for row in cells):
            yield Table(tuple(map(tuple, cells)), 1 if shape.table.first_row else 0, "", place)
    elif getattr(shape, "has_text_frame", False):
        lines = [(p.level, " ".join(p.text.split())) for p in shape.text_frame.paragraphs]
        lines = [(level, text) for level, text in lines if text]
        if len(lines) > 1:
            yield Bullets(tuple(lines), False, place)
        elif lines:
            yield Paragraph(lines[0][1], place)
    else:
        told = shape._element.xpath(".//p:cNvPr/@descr")  # the package has no name for it
        if told and told[0].strip():
            yield Figure(" ".join(told[0].split()), place=place)


def _cell(cell: Any) -> str:
    return " ".join(cell.text_frame.text.split())


def _fill(table: Any, cells: list[list[str]]) -> None:
    """A cell that spans several is in all of them."""
    for row in range(len(cells)):
        for column in range(len(cells[row])):
            cell = table.cell(row, column)
            if cell.is_merge_origin:
                for down in range(min(cell.span_height, len(cells) - row)):
                    for right in range(min(cell.span_width, len(cells[row]) - column)):
                        cells[row + down][column + right] = cells[row][column]
