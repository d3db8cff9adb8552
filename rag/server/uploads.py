"""Files of a `multipart/form-data` body, written to the disk as they come: memory does not grow with them."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from starlette.concurrency import run_in_threadpool

from easyrec.errors import MissingExtra
from rag.server.config import LimitsConfig
from rag.server.names import file_name
from rag.server.refused import Refused

FIELD_BYTES = 65_536
"""Of a part that is no file."""
FIELDS = 20


@dataclass
class Upload:
    """What came.

    Attributes:
        files: What each is called, where it lies, and its bytes.
        fields: The other parts by their names.
    """

    files: list[tuple[str, Path, int]] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)

    def drop(self) -> None:
        """Remove the files."""
        for _, path, _ in self.files:
            with suppress(OSError):
                path.unlink()

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(size for _, _, size in self.files)


class Receiver:
    """Takes the parts of a body.

    Args:
        folder: Where files are written, under names of their own.
        content_type: The request's header.
        limits: How much may come.
        room: Bytes that the user may still put in; None: any.

    Raises:
        Refused: The body is of another kind.
        MissingExtra: The package python-multipart is not installed.
    """

    def __init__(self, folder: Path, content_type: str, limits: LimitsConfig, room: int | None) -> None:
        package = _multipart()
        kind, options = package.parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary or len(boundary) > 200:
            raise Refused(415, "content_type", "the body must be multipart/form-data with the files as 'files'")
        self._folder, self._limits, self._room = folder, limits, room
        self._options = package.parse_options_header
        self.upload = Upload()
        self._name = self._header = b""
        self._headers: dict[bytes, bytes] = {}
        self._value = bytearray()
        self._file: IO[bytes] | None = None
        self._path = folder
        self._called = ""
        self._part, self._size, self._ended = "", 0, False
        self._error = package.FormParserError
        self._parser = package.MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._on_header_field,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers,
                "on_part_data": self._data,
                "on_part_end": self._end,
                "on_end": self._finish,
            },
        )

    async def take(self, body: AsyncIterator[bytes]) -> Upload:
        """All of it; when something is wrong nothing stays on the disk.

        Raises:
            Refused: It is no such body, or there is too much in it.
        """
        try:
            async for part in body:
                if part:
                    await run_in_threadpool(self._parser.write, part)  # the disk may be slow
            await run_in_threadpool(self._parser.finalize)
            if not self._ended:
                raise Refused(400, "multipart", "the body ends before its last part does")
            if not self.upload.files:
                raise Refused(400, "no_files", "the body has no files: send them as 'files'", param="files")
        except self._error as error:
            self.drop()
            raise Refused(400, "multipart", f"the body cannot be read: {error}") from None
        except OSError as error:
            self.drop()
            raise Refused(507, "disk", f"the files cannot be written: {error.strerror or error}") from None
        except BaseException:
            self.drop()
            raise
        return self.upload

    def drop(self) -> None:
        """Leave nothing on the disk."""
        if self._file is not None:
            self._file.close()
            self._path.unlink(missing_ok=True)
            self._file = None
        self.upload.drop()

    def _begin(self) -> None:
        self._headers, self._header, self._name = {}, b"", b""
        self._value.clear()
        self._size = 0

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._name.lower()] = self._header
        self._name = self._header = b""

    def _on_headers(self) -> None:
        kind, options = self._options(self._headers.get(b"content-disposition", b""))
        if kind != b"form-data" or b"name" not in options:
            raise Refused(400, "multipart", "a part has no name")
        self._part = options[b"name"].decode("utf-8", "replace")
        called = options.get(b"filename")
        if called is None:
            if len(self.upload.fields) >= FIELDS:
                raise Refused(413, "fields", f"the body has more than {FIELDS} parts that are no files")
            return
        if self._part not in ("files", "file", "files[]"):
            raise Refused(400, "multipart", f"a file is called '{self._part[:60]}', but must be 'files'", param="files")
        if len(self.upload.files) >= self._limits.files:
            raise Refused(413, "files", f"the body has more than {self._limits.files} files", param="files")
        self._called = file_name(called.decode("utf-8", "replace"))
        self._path = self._folder / f"{secrets.token_hex(16)}{Path(self._called).suffix.lower()}"
        self._file = self._path.open("xb")

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._size += end - start
        if self._file is None:
            if self._size > FIELD_BYTES:
                raise Refused(413, "field", f"'{self._part[:60]}' has more than {FIELD_BYTES:,} bytes")
            self._value += data[start:end]
            return
        if self._size > self._limits.file_bytes:
            text = f"'{self._called}' has more than the {self._limits.file_bytes:,} bytes that are allowed"
            raise Refused(413, "file_bytes", text, param="files")
        if self._room is not None and self.upload.size + self._size > self._room:
            raise Refused(429, "insufficient_quota", "the quota of bytes is used: remove some documents first")
        self._file.write(memoryview(data)[start:end])

    def _end(self) -> None:
        if self._file is None:
            if self._part in self.upload.fields:
                raise Refused(400, "multipart", f"'{self._part[:60]}' is given twice")
            self.upload.fields[self._part] = self._value.decode("utf-8", "replace")
            return
        self._file.flush()
        os.fsync(self._file.fileno())  # before a task says that it is there
        self._file.close()
        self._file = None
        self.upload.files.append((self._called, self._path, self._size))

    def _finish(self) -> None:
        self._ended = True


def _multipart() -> Any:
    try:
        import python_multipart.multipart as package  # noqa: PLC0415 (an extra)
    except ImportError:
        raise MissingExtra("python_multipart", "rag-server") from None
    return package
