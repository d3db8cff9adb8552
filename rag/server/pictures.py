"""Pages as pictures, with places marked. A page is drawn in a process of its own: a file that is a trap ends that alone.

`python -m rag.server.pictures FILE PAGE PIXELS BOXES` writes a PNG to stdout.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import threading
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from easyrec.errors import DataError

Box: TypeAlias = Sequence[float]
"""Left, top, right, bottom, as shares of the page."""
SECONDS, BYTES, MEMORY = 20, 16 << 20, 2 << 30
KEPT = 64
"""Pictures that are kept."""
INK, TINT = np.array([215, 90, 0], np.float32), 0.22


class Pictures:
    """Draws pages, and keeps the last ones. Any thread may use it."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Any, ...], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def page(self, path: Path, number: int, pixels: int, boxes: Sequence[Box]) -> bytes:
        """A page as PNG.

        Args:
            path: A PDF file.
            number: From 1 on.
            pixels: Of its longer side.
            boxes: What is marked.

        Raises:
            DataError: There is no such page, or it cannot be drawn.
        """
        key = (path, path.stat().st_mtime_ns, number, pixels, tuple(map(tuple, boxes)))
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        command = [sys.executable, "-m", __name__, str(path), str(number), str(pixels), json.dumps(list(boxes))]
        try:
            done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL)  # noqa: S603 (ours)
        except subprocess.TimeoutExpired:
            raise DataError(f"page {number} cannot be drawn within {SECONDS} seconds") from None
        if done.returncode or not done.stdout.startswith(b"\x89PNG") or len(done.stdout) > BYTES:
            told = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2] if done.returncode == 3 else ""
            raise DataError(told or f"page {number} cannot be drawn")
        with self._lock:
            self._kept[key] = done.stdout
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return done.stdout


def marked(picture: np.ndarray, boxes: Sequence[Box]) -> np.ndarray:
    """A picture, (h, w, 3) uint8, with boxes in colour over it."""
    found = picture.copy()
    height, width = found.shape[:2]
    for box in boxes:
        left, right = (round(min(max(x, 0.0), 1.0) * width) for x in (box[0], box[2]))
        top, bottom = (round(min(max(y, 0.0), 1.0) * height) for y in (box[1], box[3]))
        left, top = max(0, left - 4), max(0, top - 3)
        right, bottom = min(width, max(right, left + 1) + 4), min(height, max(bottom, top + 1) + 3)
        inside = found[top:bottom, left:right].astype(np.float32)
        found[top:bottom, left:right] = (inside * (1.0 - TINT) + INK * TINT).astype(np.uint8)
        for edge in (np.s_[top : top + 2, left:right], np.s_[bottom - 2 : bottom, left:right]):
            found[edge] = INK.astype(np.uint8)
        for edge in (np.s_[top:bottom, left : left + 2], np.s_[top:bottom, right - 2 : right]):
            found[edge] = INK.astype(np.uint8)
    return found


def png(picture: np.ndarray) -> bytes:
    """A picture, (h, w, 3) uint8, as PNG."""
    height, width = picture.shape[:2]
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # each row begins with the number of its filter: none
    rows[:, 1:] = picture.reshape(height, -1)
    parts = [b"\x89PNG\r\n\x1a\n"]
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    for kind, body in ((b"IHDR", head), (b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b"")):
        parts.append(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)))
    return b"".join(parts)


def drawn(path: Path, number: int, pixels: int, boxes: Sequence[Box]) -> bytes:
    """A page as PNG.

    Raises:
        DataError: There is no such page, or it is damaged.
    """
    from rag.readers._pdfium import Pdf  # noqa: PLC0415 (only where a page is drawn)

    pdf = Pdf(path)
    try:
        if not 1 <= number <= pdf.pages:
            raise DataError(f"there is no page {number}; there are {pdf.pages}")
        page = pdf.page(number - 1)
        scale = pixels / max(page.width, page.height)
        return png(marked(pdf.picture(number - 1, scale), boxes))
    finally:
        pdf.close()


def main() -> int:
    """Draw one."""
    import resource  # noqa: PLC0415 (not on every platform)

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    path, number, pixels, boxes = sys.argv[1:5]
    try:
        content = drawn(Path(path), int(number), int(pixels), json.loads(boxes))
    except DataError as error:
        sys.stderr.write(error.reason.replace(path, "the file"))
        return 3
    sys.stdout.buffer.write(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
