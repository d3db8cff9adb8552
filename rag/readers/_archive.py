"""Office files are archives: what may be unpacked of one."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from easyrec.errors import DataError, MissingExtra

ENTRIES = 20_000
"""Files in an archive."""
UNPACKED = 1 << 30
"""Bytes of all of them."""
RATIO = 200
"""Times that a large file may grow."""
LARGE = 16 << 20
"""Bytes from which on that is looked at."""
OLD = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""How files of former formats begin, and those that a password keeps closed."""


def check_archive(path: Path, needs: str) -> int:
    """See whether an archive can be unpacked.

    Args:
        path: The file.
        needs: A file that there must be in it.

    Returns:
        Bytes unpacked.

    Raises:
        DataError: It is none, is damaged, is closed by a password, or would grow too large.
    """
    try:
        with path.open("rb") as file:
            if file.read(8) == OLD:
                raise DataError(f"{path}: is closed by a password, or of the format before 2007: save it anew")
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise DataError(f"{path}: is damaged: {error}") from None
    if len(entries) > ENTRIES:
        raise DataError(f"{path}: holds {len(entries)} files, and {ENTRIES} are unpacked at most")
    if any(entry.flag_bits & 1 for entry in entries):
        raise DataError(f"{path}: is closed by a password")
    total = sum(entry.file_size for entry in entries)
    grows = [e for e in entries if e.file_size > LARGE and e.file_size > RATIO * max(e.compress_size, 1)]
    if total > UNPACKED or grows:
        raise DataError(f"{path}: would be {total} bytes unpacked: it is not read")
    if needs not in {entry.filename for entry in entries}:
        raise DataError(f"{path}: has no '{needs}' in it: it is another kind of file, or damaged")
    return total


def opened(path: Path, module: str, package: str, open: Callable[[Any], Any]) -> Any:
    """What a package makes of a file.

    Args:
        path: The file.
        module: What is imported.
        package: What installs it.
        open: Opens the file by the module.

    Raises:
        DataError: It is damaged.
        MissingExtra: The package is not installed.
    """
    try:
        found = import_module(module)
    except ImportError:
        raise MissingExtra(package, "rag") from None
    try:
        return open(found)
    except Exception as error:  # noqa: BLE001 (such packages raise whatever a damaged file leads them to)
        raise DataError(f"{path}: is damaged: {str(error)[:200]}") from None
