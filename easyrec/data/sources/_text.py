"""Blocks of whole lines of a text file, plain (in ranges that can be read alone) or compressed."""

from __future__ import annotations

import bz2
import gzip
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import pyarrow as pa

from easyrec.data.sources._files import File
from easyrec.errors import DataError

COMPRESSED = (".gz", ".bz2", ".zst", ".lz4")

BOM = b"\xef\xbb\xbf"


class Blocks:
    """Lines of one file, in blocks.

    Args:
        file: The file.
        size: Bytes per block; also per part, where the file is plain.
        header: Whether the first line names the columns and is no row.
        blank: Bytes that may stand in a line without making it a row.

    Attributes:
        parts: Ranges of the file that can be read alone; 1 for a compressed file.
    """

    def __init__(self, file: File, size: int, *, header: bool, blank: bytes = b"\r") -> None:
        self.file, self.size, self.header, self.blank = file, size, header, blank
        self.compressed = file.path.endswith(COMPRESSED)
        self.parts = 1 if self.compressed else max(1, -(-file.size // size))

    def first_line(self) -> bytes:
        """The first line without its end; empty for an empty file."""
        with self._stream() as stream:
            line: bytes = self._guard(stream.readline)
            return line.removeprefix(BOM).rstrip(b"\r\n")

    def sample(self, size: int) -> bytes:
        """Whole lines from the start, header left out, about `size` bytes."""
        with self._stream() as stream:
            start = self._guard(stream.read, size)
            end = start.rfind(b"\n") + 1 if len(start) == size else len(start)
        start = start[:end].removeprefix(BOM)
        return start[start.find(b"\n") + 1 :] if self.header and b"\n" in start else b"" if self.header else start

    def read(self, part: int) -> Iterator[bytes]:
        """The lines that start in a range, in blocks of whole lines."""
        first = part == 0
        for block in self._stream_blocks() if self.compressed else self._range(part):
            if first:
                block = block.removeprefix(BOM)  # noqa: PLW2901 (the file's first bytes)
                if self.header:
                    block = block[block.find(b"\n") + 1 :] if b"\n" in block else b""  # noqa: PLW2901
            first = False
            if block:
                yield block

    def line_number(self, part: int, block: int, row: int) -> int:
        """1-based number of the line that holds row `row` (blank lines are no rows) counted from a block on."""
        number = 1 if self.header else 0
        for earlier in range(part):
            number += sum(lines.count(b"\n") for lines in self.read(earlier))
        for index, lines in enumerate(self.read(part)):
            if index < block:
                number += lines.count(b"\n")
                continue
            for line in lines.split(b"\n"):
                number += 1
                if line.strip(self.blank):
                    row -= 1
                    if row < 0:
                        return number
            number -= lines.endswith(b"\n")  # split gives one line more than there are ends
        return number

    def _range(self, part: int) -> Iterator[bytes]:
        start, end = part * self.size, (part + 1) * self.size
        with self._stream() as stream:
            if start:
                self._guard(stream.seek, start - 1)
            data = self._guard(stream.read, end - start + (1 if start else 0))
            if start:  # the line that began before this range belongs to the range before
                newline = data.find(b"\n")
                data = b"" if newline < 0 else data[newline + 1 :]
            if data and not data.endswith(b"\n"):
                data += self._guard(stream.readline)
        yield data

    def _stream_blocks(self) -> Iterator[bytes]:
        rest = b""
        with self._stream() as stream:
            while data := self._guard(stream.read, self.size):
                end = data.rfind(b"\n") + 1
                if not end:
                    rest += data
                    continue
                yield rest + data[:end]
                rest = data[end:]
        if rest:
            yield rest

    def _stream(self) -> BinaryIO:
        raw = self._guard(self.file.open)
        path = self.file.path
        if path.endswith(".gz"):
            return cast(BinaryIO, gzip.GzipFile(fileobj=raw))
        if path.endswith(".bz2"):
            return cast(BinaryIO, bz2.BZ2File(raw))
        if self.compressed:
            stream = pa.CompressedInputStream(raw, "zstd" if path.endswith(".zst") else "lz4")
            return cast(BinaryIO, stream)
        return cast(BinaryIO, raw)

    def _guard(self, call: Any, *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
            text = str(error).strip() or type(error).__name__
            raise DataError(f"cannot be read: {text}", file=self.file.name) from error
