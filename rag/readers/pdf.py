"""`pdf`: columns, headings by their size, tables with and without rules, across pages too; scanned pages and pictures by OCR."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from easyrec.errors import DataError
from rag.document import Block, Figure
from rag.pages.legible import is_scan
from rag.pages.look import Look, Said, words_of
from rag.pages.page import Affine, Box, Page, Picture, turned
from rag.pages.scanned import Sizes, made_alike, page_of, sizes_of
from rag.pages.whole import whole
from rag.pictures import Pixels
from rag.readers._pdfium import Pdf
from rag.readers._reading import PictureConfig, Reading

SAMPLED = 24
"""Pages that are looked at to find out how a document looks."""
SCANNED = 4
"""Of those, pages that are read by OCR, which takes its time."""
LARGE = 0.015
"""Share of a page that a picture takes at least to be told of."""
WHOLE = 0.8
"""Share of a page from which on a picture is its ground, and no figure."""
GROUND = 40
"""Characters upon a picture from which on it is the ground of a text."""
PICTURES = 100
"""Of a page, that are looked at."""
DRAWN = 2.0
"""Pixels of a point at least, where a page is drawn to be read."""
SHARP = 4.2
"""Pixels of a point at most."""


class Config(PictureConfig):
    """Config of `pdf`."""

    endings: ClassVar[tuple[str, ...]] = (".pdf",)

    type: Literal["pdf"] = "pdf"
    max_pages: int = Field(20_000, ge=1)
    """A file with more is refused."""

    def read(self, path: Path) -> Iterator[Block]:
        """What it says, page by page: memory does not grow with the file."""
        self.check(path)
        pdf = Pdf(path)
        try:
            if pdf.pages > self.max_pages:
                raise DataError(f"{path}: has {pdf.pages} pages, and {self.max_pages} are read at most (max_pages)")
            pages = _Pages(pdf, Reading(self, path))
            look = Look(pages.sample(), _levels(pdf))
            for block in whole(pages.said(look, number) for number in range(pdf.pages)):
                back = pages.turned.get(block.place.page or 0)
                yield block if back is None else replace(block, place=turned(block.place, back))
        finally:
            pdf.close()


class _Pages:
    """The pages of a file, those that are scans as they are read.

    Args:
        pdf: The file.
        reading: Reads pictures.
    """

    def __init__(self, pdf: Pdf, reading: Reading) -> None:
        self._pdf, self._reading = pdf, reading
        self._read: dict[int, Page] = {}  # scans of the sample, since to read one takes long
        self._sizes = Sizes(())
        self.turned: dict[int, Affine] = {}
        """Pages that stand otherwise than they are shown, by their numbers from 1 on."""

    def sample(self) -> list[Page]:
        """Pages that tell how the document looks."""
        step = max(1, self._pdf.pages // SAMPLED)
        pages = [self._pdf.page(number) for number in range(0, self._pdf.pages, step)][: SAMPLED + 1]
        scans = [page for page in pages if self._is_scan(page)]
        for page in scans[:: max(1, len(scans) // SCANNED)][:SCANNED]:
            self._read[page.number] = self._scanned(page)
        texts = [page for page in pages if not self._is_scan(page)]
        # Of a document with both, sizes of text are known, and those of scans are measured.
        body = [(span.type_size, len(span.text)) for page in texts for span in page.spans]
        self._sizes = sizes_of(self._read.values(), Sizes(tuple({size for size, _ in body})))
        made_alike(self._read.values(), self._sizes)
        return texts + [replace(page, spans=list(page.spans)) for page in self._read.values()]

    def said(self, look: Look, number: int) -> Said:
        """What a page says, from 0 on."""
        page = self._pdf.page(number)
        if self._is_scan(page):
            known = self._read.pop(page.number, None)
            if known is None:
                known = self._scanned(page)
                made_alike([known], self._sizes)
            if known.scanned and known.back is not None:
                self.turned[known.number] = known.back
            return look.said(known)
        return look.said(page, list(self._figures(page)))

    def _is_scan(self, page: Page) -> bool:
        how = self._reading.config.ocr
        return how == "always" or (how == "auto" and is_scan(page))

    def _scanned(self, page: Page) -> Page:
        """A page as it is read, or as it is where there is nothing to be read, or nobody who could."""
        sharp = [box.across / box.width for box in page.pictures if box.width > 0.3 * page.width]
        scale = min(max([DRAWN * 1.25, *sharp]), SHARP)
        pixels = self._pdf.picture(page.number - 1, scale)
        if int(pixels.max(initial=0)) - int(pixels.min(initial=255)) < 32:
            return page  # nothing is on it
        scan = self._reading.scan(pixels)
        return page if scan is None else page_of(scan, page.number, page.width, page.height)

    def _figures(self, page: Page) -> Iterator[tuple[Box, Figure]]:
        """The pictures of a page that are no ground of its text."""
        area = page.width * page.height
        left = PICTURES
        for box in page.pictures:
            share = box.width * box.height / area
            shown = Box(max(box.left, 0.0), max(box.top, 0.0), min(box.right, page.width), min(box.bottom, page.height))
            if not LARGE <= share <= WHOLE or min(shown.width, shown.height) < 8:
                continue
            if sum(len(span.text) for span in page.spans if shown.holds(span)) > GROUND:
                continue
            left -= 1
            if left < 0 or self._reading.is_done:
                return
            figure = self._reading.figure(self._drawn(page, box, shown), "", page.place([shown]))
            yield shown, figure or Figure("", place=page.place([shown]))

    def _drawn(self, page: Page, box: Picture, shown: Box) -> Pixels:
        """A picture as it is shown, as sharp as it is."""
        scale = min(max(DRAWN, box.across / max(box.width, 1.0)), 2 * SHARP)
        return self._pdf.picture(page.number - 1, scale, shown)


def _levels(pdf: Pdf) -> dict[str, int]:
    """Levels of headings by their words; those that come twice at different levels are not told."""
    found: dict[str, int] = {}
    for level, title, _ in pdf.outline():
        key = words_of(title)
        found[key] = level if found.get(key, level) == level else 0
    return {key: level for key, level in found.items() if key and level}
