"""How many cells of a book are merged, found out before anything makes room for them."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

MERGED = re.compile(rb'<(?:\w+:)?mergeCell\b[^>]{0,200}?\bref="([A-Z]{1,3})(\d{1,7}):([A-Z]{1,3})(\d{1,7})"')
BLOCK, OVERLAP = 1 << 20, 512
MOST = 2_000_000
"""Cells that may be filled with what merged ones say."""


def merged_cells(path: Path) -> int:
    """Cells that are parts of merged ones, of all sheets of a book that `check_archive` has seen; counting ends beyond `MOST`."""
    total = 0
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if not entry.filename.startswith("xl/worksheets/"):
                continue
            with archive.open(entry) as sheet:
                rest = b""
                while block := sheet.read(BLOCK):
                    text, end = rest + block, 0
                    for match in MERGED.finditer(text):
                        end = match.end()
                        total += _cells(match)
                    if total > MOST:
                        return total
                    rest = text[max(end, len(text) - OVERLAP) :]
    return total


def _cells(match: re.Match[bytes]) -> int:
    left, top, right, bottom = match.groups()
    return (abs(int(bottom) - int(top)) + 1) * (abs(_column(right) - _column(left)) + 1)


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number
