"""Pages of a PDF file: its characters as spans, its thin shapes as rules, its pictures as boxes."""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from easyrec.errors import DataError, MissingExtra
from rag.pages.marks import LONE
from rag.pages.page import Box, Page, Picture, Span
from rag.pictures import Pixels

THIN = 2.5
"""Points: thinner shapes are rules."""
DOT = 8.0
"""Points: shapes no larger, and about as wide as high, may stand before items of lists."""
MOST_SIDES = 6
"""Of a shape that is a frame."""
STRIPE = 0.25
"""Of a page's height, that the ground of a table's row has at most."""
GAP = 1.0
"""Of the height of characters: more room ends a span."""
HYPHENS = (0x02, 0xFFFE)
"""What the library calls a hyphen at the end of a line."""
MARK = 5
"""Characters of a mark of a list at most, as of `(123)`."""
SCRIPT = 0.85
"""Of the height of those beside them: smaller characters are raised or lowered ones."""
CHARACTERS = 200_000
"""Of a page."""
SHAPES = 50_000
"""Of a page."""
LONGEST = 3600
"""Pixels of the longer side of what is drawn."""
LOCK = threading.Lock()
"""The library is for one thread at a time."""


class Pdf:
    """A file that is open.

    Raises:
        DataError: It is damaged, or closed by a password.
        MissingExtra: The package pypdfium2 is not installed.
    """

    def __init__(self, path: Path) -> None:
        self._package = _package()
        self.path = path
        try:
            with LOCK:
                self._document = self._package.PdfDocument(str(path))
                self.pages = len(self._document)
        except self._package.PdfiumError as error:
            told = "is closed by a password" if "assword" in str(error) else f"is damaged: {error}"
            raise DataError(f"{path}: {told}") from None

    def close(self) -> None:
        """Close it."""
        with LOCK:
            self._document.close()

    def page(self, number: int) -> Page:
        """A page, from 0 on.

        Raises:
            DataError: It is damaged.
        """
        raw = self._package.raw
        with LOCK:
            try:
                page = self._document[number]
            except self._package.PdfiumError as error:
                raise DataError(f"{self.path}, page {number + 1}: is damaged: {error}") from None
            try:
                width, height = page.get_size()
                made = Page(number + 1, max(width, 1.0), max(height, 1.0))
                turn = _turn(page.get_rotation(), made.width, made.height)
                text = page.get_textpage()
                try:
                    made.spans = list(_spans(raw, text.raw, turn))
                finally:
                    text.close()
                _shapes(raw, page.raw, made, turn, page.get_rotation() % 180 != 0)
            finally:
                page.close()
        return made

    def picture(self, number: int, scale: float, box: Box | None = None) -> Pixels:
        """A page, or a part of it, as it looks.

        Args:
            number: Of the page, from 0 on.
            scale: Pixels of a point; less where there would be too many.
            box: The part, in points from the top left corner.

        Raises:
            DataError: It cannot be drawn.
        """
        with LOCK:
            try:
                page = self._document[number]
            except self._package.PdfiumError as error:
                raise DataError(f"{self.path}, page {number + 1}: is damaged: {error}") from None
            try:
                width, height = page.get_size()
                part = box or Box(0.0, 0.0, width, height)
                outside = (part.left, height - part.bottom, width - part.right, part.top)
                crop = tuple(max(0.0, edge) for edge in outside)
                scale = min(scale, LONGEST / max(part.width, part.height, 1.0))
                drawn = page.render(scale=scale, crop=crop, rev_byteorder=True, may_draw_forms=False).to_numpy()
                drawn = drawn if drawn.ndim == 3 else drawn[:, :, None]
                colours = drawn[:, :, :3] if drawn.shape[2] >= 3 else np.repeat(drawn[:, :, :1], 3, axis=2)
                return np.ascontiguousarray(colours)
            except (self._package.PdfiumError, ValueError, MemoryError) as error:
                raise DataError(f"{self.path}, page {number + 1}: cannot be drawn: {error}") from None
            finally:
                page.close()

    def outline(self) -> list[tuple[int, str, int]]:
        """The bookmarks: level from 1 on, words, page from 1 on."""
        found: list[tuple[int, str, int]] = []
        with LOCK:
            for item in self._document.get_toc(max_depth=9):
                target = item.get_dest()
                index = target.get_index() if target is not None else None
                found.append((item.level + 1, item.get_title(), (index or 0) + 1))
                if len(found) > 10_000:
                    break
        return found


def _turn(rotation: int, width: float, height: float) -> Any:
    """From the file's places to those of the page as it is seen, from the top left corner."""

    def upright(left: float, bottom: float, right: float, top: float) -> tuple[float, float, float, float]:
        return left, height - top, right, height - bottom

    def quarter(left: float, bottom: float, right: float, top: float) -> tuple[float, float, float, float]:
        return bottom, left, top, right

    def half(left: float, bottom: float, right: float, top: float) -> tuple[float, float, float, float]:
        return width - right, bottom, width - left, top

    def three(left: float, bottom: float, right: float, top: float) -> tuple[float, float, float, float]:
        return width - top, height - right, width - bottom, height - left

    return {90: quarter, 180: half, 270: three}.get(rotation, upright)


def _spans(raw: Any, text: Any, turn: Any) -> Iterator[Span]:
    """The characters of a page as spans."""
    box = raw.FS_RECTF()
    pointer, matrix = ctypes.byref(box), raw.FS_MATRIX()
    span: Span | None = None
    space = False
    for index in range(min(raw.FPDFText_CountChars(text), CHARACTERS)):
        code = raw.FPDFText_GetUnicode(text, index)
        if code in (0x20, 0xA0, 0x09):
            space = True
            continue
        if code in (0x0D, 0x0A, 0):
            if span is not None:
                yield span
            span, space = None, False
            continue
        if not raw.FPDFText_GetLooseCharBox(text, index, pointer):
            continue
        left, top, right, bottom = turn(box.left, box.bottom, box.right, box.top)
        size = bottom - top
        if code in HYPHENS:
            code = 0x2D
        if size <= 0.1 or code < 0x20:
            continue
        character = chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd"
        beside = span is not None and -0.3 * size <= left - span.right <= GAP * size
        alike = (
            span is not None
            and abs(span.bottom - bottom) <= 0.3 * size
            and abs(span.bottom - span.top - size) <= 0.15 * size
        )
        # Small characters, raised or lowered, belong to those before them.
        script = (
            span is not None
            and size < SCRIPT * (span.bottom - span.top)
            and not space
            and top < span.bottom - 0.2 * size
            and bottom > span.top + 0.2 * size
        )
        if span is not None and beside and (alike or script):
            if space:
                if len(span.text) <= MARK and LONE.fullmatch(
                    span.text
                ):  # a line is as large as what its mark stands before
                    span.points = _points(raw, text, index, matrix)
                span.text += " "
                span.lefts.append(span.right)
            span.text += character
            span.lefts.append(left)
            span.right = max(span.right, right)
        else:
            if span is not None:
                yield span
            bold = raw.FPDFText_GetFontWeight(text, index) >= 600
            span = Span(left, top, right, bottom, character, [left], bold, _points(raw, text, index, matrix))
        space = False
    if span is not None:
        yield span


def _points(raw: Any, text: Any, index: int, matrix: Any) -> float:
    """Size of a character's font as it is seen."""
    if not raw.FPDFText_GetMatrix(text, index, ctypes.byref(matrix)):
        return 0.0
    return float(raw.FPDFText_GetFontSize(text, index)) * math.hypot(matrix.c, matrix.d)


def _shapes(raw: Any, page: Any, made: Page, turn: Any, quarter: bool) -> None:
    """Rules and pictures."""
    edges = [ctypes.c_float() for _ in range(4)]
    pointers = [ctypes.byref(edge) for edge in edges]
    mode, stroke = ctypes.c_int(), ctypes.c_int()
    for index in range(min(raw.FPDFPage_CountObjects(page), SHAPES)):
        shape = raw.FPDFPage_GetObject(page, index)
        kind = raw.FPDFPageObj_GetType(shape)
        if kind not in (raw.FPDF_PAGEOBJ_PATH, raw.FPDF_PAGEOBJ_IMAGE):
            continue
        if not raw.FPDFPageObj_GetBounds(shape, *pointers):
            continue
        left, top, right, bottom = turn(*(edge.value for edge in edges))
        box = Box(left, top, right, bottom)
        if kind == raw.FPDF_PAGEOBJ_IMAGE:
            size = [ctypes.c_uint(), ctypes.c_uint()]
            raw.FPDFImageObj_GetImagePixelSize(shape, *map(ctypes.byref, size))
            sides = [side.value for side in size]
            made.pictures.append(Picture(left, top, right, bottom, *(sides[::-1] if quarter else sides)))
        elif min(box.width, box.height) <= THIN and max(box.width, box.height) > 4 * THIN:
            made.rules.append(box)
        elif max(box.width, box.height) <= DOT and 0.6 < box.width / max(box.height, 0.01) < 1.7:
            made.dots.append(box)
        elif raw.FPDFPath_CountSegments(shape) <= MOST_SIDES and raw.FPDFPath_GetDrawMode(
            shape, ctypes.byref(mode), ctypes.byref(stroke)
        ):
            if stroke.value:
                made.rules += [
                    Box(left, top, right, top),
                    Box(left, bottom, right, bottom),
                    Box(left, top, left, bottom),
                    Box(right, top, right, bottom),
                ]
            elif mode.value and box.height <= STRIPE * made.height:
                made.stripes.append(box)


def _package() -> Any:
    """The package.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        import pypdfium2  # noqa: PLC0415 (an extra)
    except ImportError:
        raise MissingExtra("pypdfium2", "rag") from None
    return pypdfium2
