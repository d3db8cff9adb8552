"""A process that reads files for another one and sends what they say as plain data; run as `python -m rag.reader_process`.

What comes in and what goes out are frames: a letter, the length of what follows as 8 hexadecimal digits, and that. A file may
take this process along with it; nothing else.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from pydantic import TypeAdapter

from easyrec.errors import DataError, MissingExtra
from feature_generator.config import member, plug
from rag.chunkers import Chunk
from rag.config import ReadingConfig
from rag.cutting import Bounds, Timed, texts_of
from rag.document import Block, Bullets, Code, Figure, Heading, Paragraph, Table
from rag.figures import digest_of
from rag.readers._reading import counted

FRAME = 64 << 20
"""Bytes of a frame at most."""
AT_ONCE = 64
"""Chunks, or blocks, of a frame."""
CHUNKS = TypeAdapter(list[Chunk])
BLOCKS: dict[str, TypeAdapter[Any]] = {
    kind.__name__: TypeAdapter(kind) for kind in (Heading, Paragraph, Bullets, Table, Code, Figure)
}


class Broken(Exception):  # noqa: N818 (it says what the other end is)
    """What came is no frame, or the other end is gone."""


def write(file: IO[bytes], kind: str, content: bytes) -> None:
    """Send a frame."""
    if len(content) > FRAME:
        raise DataError(f"a part of it has {len(content)} bytes, and {FRAME} are taken at most")
    file.write(f"{kind}{len(content):08x}".encode())
    file.write(content)
    file.flush()


def read(file: IO[bytes]) -> tuple[str, bytes]:
    """Receive a frame.

    Raises:
        Broken: There is none.
    """
    head = file.read(9)
    try:
        kind, length = head[:1].decode("ascii"), int(head[1:], 16)
    except ValueError:
        raise Broken from None
    if len(head) < 9 or not 0 <= length <= FRAME:
        raise Broken
    content = file.read(length)
    if len(content) < length:
        raise Broken
    return kind, content


def told(block: Block) -> tuple[str, dict[str, Any]]:
    """A block as plain data, without its picture."""
    kind = type(block).__name__
    fields = BLOCKS[kind].dump_python(block, exclude={"content"})
    if isinstance(block, Figure) and block.content is not None:
        fields["picture"] = digest_of(block.content)
    return kind, fields


def main() -> None:
    """Read files until nobody asks any more."""
    # What packages print must not get among the frames.
    out = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    _go_with_parent()
    write(out, "R", b"")
    while True:
        try:
            _, content = read(sys.stdin.buffer)
        except Broken:
            return
        job = json.loads(content)
        limits = ReadingConfig.model_validate(job["limits"])
        _limit(limits.memory_mb)
        try:
            with counted() as counts:
                _serve(job, limits, out, counts)
        except MemoryError:
            _fail(
                out,
                "gone",
                f"{job['path']}: needs more than {limits.memory_mb} MB of memory (knowledge.reading.memory_mb)",
            )
            return  # what is left of it is let go
        except DataError as error:
            _fail(out, "data", str(error))
        except MissingExtra as error:
            _fail(out, "extra", str(error))
        except RecursionError:
            _fail(out, "data", f"{job['path']}: is nested too deeply")
        except Exception as error:  # noqa: BLE001 (the edge of a process: a file fails alone)
            _fail(out, "data", f"{job['path']}: cannot be read: {type(error).__name__}: {str(error)[:300]}")


def _fail(out: IO[bytes], kind: str, text: str) -> None:
    write(out, "E", json.dumps({"kind": kind, "text": text[:4000]}).encode())


def _serve(job: dict[str, Any], limits: ReadingConfig, out: IO[bytes], counts: Counter[str]) -> None:
    """Read a file, and send its chunks, or its blocks where it is cut elsewhere."""
    for plugin in job["plugins"]:
        plug(plugin)
    path = Path(job["path"])
    reader = member("rag.readers", job["reader"]["type"]).Config.model_validate(job["reader"])
    begun, timed, bounds = time.perf_counter(), Timed(), Bounds(path, limits)
    blocks = bounds.blocks(timed.all(reader.read(path)))

    def pictures() -> None:
        for content in bounds.pictures.values():
            write(out, "P", content)
        bounds.pictures.clear()

    if job["chunker"] is None:
        for some in _some(blocks):
            pictures()
            write(out, "B", json.dumps([told(block) for block in some]).encode())
    else:
        chunker = member("rag.chunkers", job["chunker"]["type"]).Config.model_validate(job["chunker"])
        for part in _some(bounds.chunks(chunker.cut(blocks, None))):
            pictures()
            write(out, "C", CHUNKS.dump_json(part))
    pictures()
    whole = time.perf_counter() - begun
    if bounds.left_out:
        counts["pictures_left_out"] = bounds.left_out
    seconds = {"read": timed.seconds, "cut": whole - timed.seconds}
    write(out, "D", json.dumps({"seconds": seconds, "counts": counts}).encode())


def _some(items: Iterator[Any]) -> Iterator[list[Any]]:
    """Items, some at a time, and not too much of them."""
    held: list[Any] = []
    size = 0
    for item in items:
        held.append(item)
        own = (item.text, item.context or "") if isinstance(item, Chunk) else texts_of(item)
        size += sum(map(len, own))
        if len(held) >= AT_ONCE or size > 1 << 20:
            yield held
            held, size = [], 0
    if held:
        yield held


def _limit(memory_mb: int) -> None:
    """Let the system refuse what is too much, where it can."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # noqa: PLC0415 (not every system has it)

        resource.setrlimit(resource.RLIMIT_DATA, (memory_mb << 20, memory_mb << 20))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _go_with_parent() -> None:
    """Be ended with the process that asked, also where that is ended by force."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asked says when to stop
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)


if __name__ == "__main__":
    main()
