"""`image`: pictures, read by OCR: their headings, paragraphs, lists and tables; without words in them nothing is found of one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from easyrec.errors import DataError
from rag.document import Block, Figure, Place
from rag.pages.look import Look
from rag.pages.page import turned
from rag.pages.scanned import made_alike, page_of, sizes_of
from rag.pages.whole import whole
from rag.pictures import frames_of, kept
from rag.readers._reading import PictureConfig, Reading


class Config(PictureConfig):
    """Config of `image`."""

    endings: ClassVar[tuple[str, ...]] = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")

    type: Literal["image"] = "image"
    max_bytes: int = Field(128 << 20, ge=1)
    """Larger files are refused."""
    max_pages: int = Field(500, ge=1)
    """Pages of a TIFF file that are read; of other pictures the first frame is."""

    def read(self, path: Path) -> Iterator[Block]:
        """What it says; the picture itself comes first, with its name."""
        content = self.bytes_of(path)
        reading = Reading(self, path)
        frames = frames_of(content, self.max_pages, self.max_pixels)
        number = 0
        while True:
            number += 1
            try:
                pixels = next(frames, None)
            except DataError as error:
                raise DataError(f"{path}: {error}") from None
            if pixels is None:
                return
            scan = reading.scan(pixels)
            own = kept(pixels, content if number == 1 else None) if self.keep_pictures else None
            yield Figure(path.name, "", own, Place(number, (0.0, 0.0, 1.0, 1.0)))
            if scan is not None:
                page = page_of(scan, number)
                made_alike([page], sizes_of([page]))
                for block in whole([Look([page]).said(page)]):
                    yield replace(block, place=turned(block.place, page.back))
