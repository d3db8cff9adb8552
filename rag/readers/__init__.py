"""Readers: files as blocks.

One file per format, with a `Config` that names its endings and whose `read` gives the blocks as they come, so that the
memory for a long file is bounded. What cannot be read is a `DataError` that names the file, and the place if there is one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from easyrec.errors import ConfigError, DataError, nearest
from feature_generator.config import StrictModel, member, members
from rag.document import Block

FAMILY = "rag.readers"
ENCODINGS = ("utf-8-sig", "gb18030", "latin-1")
"""Tried in this order, where a file does not say which it has."""


class ReaderConfig(StrictModel):
    """What configs of readers share.

    Attributes:
        endings: Of the names of its files, with the dot and in small letters.
    """

    family: ClassVar[str] = FAMILY
    endings: ClassVar[tuple[str, ...]] = ()

    max_bytes: int = Field(512 << 20, ge=1)
    """Larger files are refused."""

    def read(self, path: Path) -> Iterator[Block]:
        """The blocks of a file.

        Raises:
            DataError: It cannot be read.
        """
        raise TypeError(f"{type(self).__module__} has no way to read {path}")

    def lacks(self) -> tuple[str, ...]:
        """Extras that are not installed, without which some of a file is left out."""
        return ()

    def check(self, path: Path) -> None:
        """Look whether a file is there and not too large.

        Raises:
            DataError: It is not, or is.
        """
        try:
            size = path.stat().st_size
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
        if size > self.max_bytes:
            raise DataError(f"{path}: has {size} bytes, and {self.max_bytes} are read at most (max_bytes)")

    def bytes_of(self, path: Path) -> bytes:
        """A file's content.

        Raises:
            DataError: It cannot be read, or is too large.
        """
        self.check(path)
        try:
            return path.read_bytes()
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None

    def text_of(self, path: Path) -> str:
        """A file's text.

        Raises:
            DataError: It cannot be read, is too large, or is no text.
        """
        content = self.bytes_of(path)
        if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return content.decode("utf-16", "replace")
        if b"\0" in content[:8192]:
            raise DataError(f"{path}: is no text")
        for encoding in ENCODINGS:
            try:
                return content.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
            except UnicodeDecodeError:  # noqa: PERF203 (three at most)
                continue
        raise AssertionError("latin-1 reads everything")


def reader_of(path: Path) -> ReaderConfig:
    """What reads a file, by its ending, with all that can be configured as it is by default.

    Raises:
        DataError: No reader knows such files.
    """
    known: dict[str, str] = {}
    for name in members(FAMILY):
        known |= dict.fromkeys(member(FAMILY, name).Config.endings, name)
    ending = path.suffix.lower()
    if ending not in known:
        raise DataError(f"{path}: files that end in '{ending}' are not known{nearest(ending, known)}")
    made: ReaderConfig = member(FAMILY, known[ending]).Config()
    return made


__all__ = ["FAMILY", "ConfigError", "ReaderConfig", "reader_of"]
