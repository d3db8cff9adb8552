"""Names of files that came from elsewhere, as names of files that may lie here."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath

from rag.server.refused import Refused

LONGEST = 180
"""UTF-8 bytes of a name; file systems take 255."""
FOLDERS = 8
BAD = frozenset('<>:"|?*\\/')
"""What some file systems do not take, or take for something else."""


def file_name(given: str) -> str:
    """The last part of what a client calls a file, with nothing in it that a path, a page or a terminal could mistake.

    Raises:
        Refused: Nothing is left of it.
    """
    last = given.replace("\\", "/").rpartition("/")[2]
    name = _clean(last)
    if not name:
        raise Refused(400, "file_name", "a file has a name of which nothing is left", param="files")
    return name


def folder_name(given: str) -> str:
    """A folder inside of a knowledge base: parts with `/` between them; empty: its top.

    Raises:
        Refused: It leads elsewhere, or is too deep.
    """
    parts = [part for part in given.replace("\\", "/").split("/") if part.strip()]
    names = [_clean(part) for part in parts]
    if len(parts) > FOLDERS or not all(names):
        text = f"must be at most {FOLDERS} names with '/' between them"
        raise Refused(400, "folder", text, param="folder")
    return "/".join(names)


def _clean(name: str) -> str:
    """Without control and invisible characters, and no name that hides or leads elsewhere."""
    kept = "".join(
        "_" if one in BAD else one
        for one in unicodedata.normalize("NFC", name)
        if unicodedata.category(one) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    )
    kept = " ".join(kept.split()).strip(". ")
    path = PurePosixPath(kept)
    stem, ending = path.stem, path.suffix[:20]
    room = LONGEST - len(ending.encode())
    return stem.encode()[:room].decode("utf-8", "ignore").rstrip(". ") + ending if stem else ""
