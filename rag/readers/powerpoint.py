"""`powerpoint`: slide by slide, from top to bottom: titles, texts, lists, tables, charts, pictures, notes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

from rag.document import Block, Bullets, Figure, Heading, Paragraph, Place, Table
from rag.readers._archive import check_archive, opened
from rag.readers._reading import PictureConfig, Reading

Edges: TypeAlias = tuple[float, float, float, float]
"""Left, top, right and bottom."""
Turn: TypeAlias = tuple[float, float, float, float]
"""x becomes the first times x and the second more, y the third times y and the fourth more."""
WHOLE: Turn = (1.0, 0.0, 1.0, 0.0)
A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
CHART = 100
"""Series of a chart."""
GROUPS = 16
"""Levels of groups inside each other."""
BAND = 20
"""Shapes whose tops are that near, in parts of the height, stand beside each other and are read from the left."""


class Config(PictureConfig):
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
        reading = Reading(self, path)
        width, height = deck.slide_width or 1, deck.slide_height or 1
        for number, slide in enumerate(deck.slides, 1):
            title = slide.shapes.title
            name = " ".join(title.text_frame.text.split()) if title is not None and title.has_text_frame else ""
            yield Heading(name or f"{number}", 1, Place(page=number))
            shown = [one for one in _flat(slide.shapes, 0, WHOLE) if title is None or one[0].shape_id != title.shape_id]
            shown.sort(key=lambda one: (round(BAND * one[1][1] / height), one[1][0]))
            for shape, edges in shown:
                yield from _blocks(shape, _place(edges, number, width, height), reading)
            if self.notes and slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
                text = " ".join(slide.notes_slide.notes_text_frame.text.split())
                if text:
                    yield Paragraph(text, Place(page=number))


def _flat(shapes: Any, depth: int, to: Turn) -> Iterator[tuple[Any, Edges]]:
    """Shapes, and those in groups, with their edges on the slide."""
    for shape in shapes:
        left, top = float(shape.left or 0), float(shape.top or 0)
        edges = (left, top, left + float(shape.width or 0), top + float(shape.height or 0))
        if hasattr(shape, "shapes") and depth < GROUPS:
            yield from _flat(shape.shapes, depth + 1, _inside(shape, edges, to))
        else:
            by_x, x, by_y, y = to
            yield shape, (by_x * edges[0] + x, by_y * edges[1] + y, by_x * edges[2] + x, by_y * edges[3] + y)


def _inside(group: Any, edges: Edges, to: Turn) -> Turn:
    """From the places that a group has inside of it to those of the slide."""
    by_x, x, by_y, y = to
    frame = group._element.grpSpPr.find(f"{A}xfrm")  # the package has no name for it
    start = frame.find(f"{A}chOff") if frame is not None else None
    size = frame.find(f"{A}chExt") if frame is not None else None
    if start is None or size is None:
        return to
    wide, high = max(float(size.get("cx") or 0), 1.0), max(float(size.get("cy") or 0), 1.0)
    across, down = (edges[2] - edges[0]) / wide, (edges[3] - edges[1]) / high
    left, top = edges[0] - across * float(start.get("x") or 0), edges[1] - down * float(start.get("y") or 0)
    return by_x * across, by_x * left + x, by_y * down, by_y * top + y


def _place(edges: Edges, page: int, width: int, height: int) -> Place:
    """Where a shape stands."""
    if edges[0] == edges[2] or edges[1] == edges[3]:
        return Place(page=page)
    shares = (edges[0] / width, edges[1] / height, edges[2] / width, edges[3] / height)
    left, top, right, bottom = (min(max(round(share, 4), 0.0), 1.0) for share in shares)
    return Place(page, (left, top, right, bottom))


def _blocks(shape: Any, place: Place, reading: Reading) -> Iterator[Block]:
    """What a shape says."""
    if getattr(shape, "has_table", False):
        cells = [[_cell(cell) for cell in row.cells] for row in shape.table.rows]
        _fill(shape.table, cells)
        if any(any(row) for row in cells):
            yield Table(tuple(map(tuple, cells)), 1 if shape.table.first_row else 0, "", place)
    elif getattr(shape, "has_chart", False):
        yield from _chart(shape.chart, place)
    elif getattr(shape, "has_text_frame", False):
        lines = [(p.level, " ".join(p.text.split())) for p in shape.text_frame.paragraphs]
        lines = [(level, text) for level, text in lines if text]
        if len(lines) > 1:
            yield Bullets(tuple(lines), False, place)
        elif lines:
            yield Paragraph(lines[0][1], place)
    else:
        told = shape._element.xpath(".//p:cNvPr/@descr")
        name = " ".join(told[0].split()) if told else ""
        content = _picture(shape)
        figure = reading.figure(content, name, place) if content is not None else None
        if figure is not None:
            yield figure
        elif name:
            yield Figure(name, place=place)


def _picture(shape: Any) -> bytes | None:
    """The picture that a shape is; None: it is none, or one that is elsewhere."""
    try:
        content: bytes = shape.image.blob
    except (AttributeError, ValueError, KeyError):
        return None
    return content


def _chart(chart: Any, place: Place) -> Iterator[Block]:
    """The numbers of a chart, a row for each of its categories."""
    try:
        title = " ".join(chart.chart_title.text_frame.text.split()) if chart.has_title else ""
        plot = chart.plots[0]
        series = [(str(one.name or ""), list(one.values)) for one in list(plot.series)[:CHART]]
        names = [" ".join(str(name).split()) for name in list(plot.categories)[: CHART * 10]]
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return  # kinds of charts that have no categories
    rows = [("", *(name for name, _ in series))]
    for number, name in enumerate(names):
        values = (own[number] if number < len(own) else None for _, own in series)
        rows.append((name, *("" if value is None else f"{value:g}" for value in values)))
    if len(rows) > 1 and series:
        yield Table(tuple(rows), 1, title, place)


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
