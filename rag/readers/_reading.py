"""What readers of files with pictures share: whether they are read, by whom, and what is told of it."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Literal

from pydantic import Field

from easyrec.errors import DataError, distribution
from rag.document import Bullets, Code, Figure, Heading, Paragraph, Place, Table
from rag.ocr import Scan, engine, installed
from rag.pages.look import Look
from rag.pages.scanned import made_alike, page_of, sizes_of
from rag.pages.whole import whole
from rag.pictures import Pixels, kept, pixels_of
from rag.readers import ReaderConfig

logger = logging.getLogger("rag")

SMALL = 48
"""Pixels: pictures with a shorter side are ornaments."""
REMEMBERED = 256
"""Pictures of a file that are told apart from those that came before."""
_counts: ContextVar[Counter[str] | None] = ContextVar("counts", default=None)


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Counts what readers meet while they are read inside of it.

    `scanned_pages`, `read_pictures`: read by OCR. `unread_pages`, `unread_pictures`: not read, since the extra `ocr` is not
    installed, or a bound was met.
    """
    counts: Counter[str] = Counter()
    token = _counts.set(counts)
    try:
        yield counts
    finally:
        _counts.reset(token)


class PictureConfig(ReaderConfig):
    """What configs of readers share whose files have pictures."""

    ocr: Literal["auto", "always", "never"] = "auto"
    """`auto`: text in pictures is read if the extra `ocr` is installed, else it is left out, with a warning. `always`: it is read,
    on every page, or the file fails. `never`: it is left out."""
    ocr_threads: int = Field(1, ge=1, le=64)
    """Threads of the models."""
    max_pixels: int = Field(50_000_000, ge=1)
    """Pictures with more are not unpacked."""
    max_pictures: int = Field(1000, ge=0)
    """Of a file, that are read."""
    keep_pictures: bool = True
    """Whether figures keep their pictures, made small."""

    def lacks(self) -> tuple[str, ...]:
        """`ocr`, where pictures would be read if it were installed."""
        return ("ocr",) if self.ocr == "auto" and not installed() else ()


class Reading:
    """Reads the pictures of a file.

    Args:
        config: How.
        path: The file.
    """

    def __init__(self, config: PictureConfig, path: Path) -> None:
        self.config, self.path = config, path
        self._warned = False
        self._left = config.max_pictures
        self._known: dict[bytes, str] = {}

    @property
    def is_done(self) -> bool:
        """Whether as many pictures were read as may be."""
        return self._left <= 0

    def scan(self, pixels: Pixels, what: str = "pages") -> Scan | None:
        """What can be read; None: it is not to be read, or cannot be.

        Raises:
            DataError: It must be read, but the models are not there.
            MissingExtra: It must be read, but the extra `ocr` is not installed.
        """
        if self.config.ocr == "never":
            return None
        if self.config.ocr == "auto" and not installed():
            count(f"unread_{what}")
            if not self._warned:
                logger.warning(
                    "%s: has %s that only OCR can read, and they are left out: pip install '%s[ocr]'",
                    self.path,
                    what,
                    distribution(),
                )
                self._warned = True
            return None
        found = engine(self.config.ocr_threads).scan(pixels)
        count("scanned_pages" if what == "pages" else "read_pictures")
        return found

    def figure(self, content: bytes | Pixels, caption: str, place: Place) -> Figure | None:
        """A picture with what can be read in it; None: it says nothing.

        Raises:
            DataError: It must be read, but the models are not there.
            MissingExtra: It must be read, but the extra `ocr` is not installed.
        """
        caption = " ".join(caption.split())
        if self._left <= 0:
            count("unread_pictures")
            return Figure(caption, place=place) if caption else None
        self._left -= 1
        try:
            pixels = pixels_of(content, self.config.max_pixels) if isinstance(content, bytes) else content
        except DataError as error:
            logger.warning("%s: a picture is left out: %s", self.path, error)
            count("unread_pictures")
            return Figure(caption, place=place) if caption else None
        if min(pixels.shape[:2]) < SMALL:
            return Figure(caption, place=place) if caption else None
        text = self._text(pixels)
        if not caption and not text:
            return None
        own = kept(pixels, content if isinstance(content, bytes) else None) if self.config.keep_pictures else None
        return Figure(caption, text, own, place)

    def _text(self, pixels: Pixels) -> str:
        """What a picture says; one that comes again is not read again."""
        key = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest()
        if key not in self._known:
            scan = self.scan(pixels, "pictures")
            if len(self._known) >= REMEMBERED:
                self._known.pop(next(iter(self._known)))
            self._known[key] = "" if scan is None else text_of(scan)
        return self._known[key]


def text_of(scan: Scan) -> str:
    """What a picture says, in the order in which it is read, a block a line."""
    page = page_of(scan, 1)
    made_alike([page], sizes_of([page]))
    lines: list[str] = []
    for block in whole([Look([page]).said(page)]):
        if isinstance(block, Table):
            lines += [" | ".join(row) for row in block.rows]
        elif isinstance(block, Bullets):
            lines += [text for _, text in block.items]
        elif isinstance(block, Heading | Paragraph | Code):
            lines.append(block.text)
    return "\n".join(lines)


def count(what: str, times: int = 1) -> None:
    """Count what a reader has met."""
    counts = _counts.get()
    if counts is not None:
        counts[what] += times
