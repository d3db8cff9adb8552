"""An index on disk.

index.json               format, config, and the name and digest of each other file: written last, in the place of the old
vectors-<n>.faiss        what FAISS writes
ids-<n>.npy, alive-<n>.npy, attributes-<n>.arrow

Files of a save have names of their own, so that an index is there whole, the former or the new one, at any moment.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from easyrec.durable import sync, write_text
from easyrec.errors import RunError, distribution

FORMAT = 2
ABOUT = "index.json"
PARTS = {"vectors": ".faiss", "ids": ".npy", "alive": ".npy", "attributes": ".arrow"}


def write(folder: Path, about: Mapping[str, Any], writers: Mapping[str, Callable[[Path], None]]) -> None:
    """Write an index in the place of the one that is there.

    Args:
        folder: Where it goes.
        about: What `index.json` tells beside the files.
        writers: Write each part into a file.

    Raises:
        RunError: The disk refuses; what was there stays.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        number = 1 + max((int(found[1]) for path in folder.iterdir() if (found := _named(path.name))), default=0)
        names = {part: f"{part}-{number:06d}{PARTS[part]}" for part in writers}
        try:
            for part, writer in writers.items():
                writer(folder / names[part])
                sync(folder / names[part])
            files = {part: {"name": name, "sha256": digest(folder / name)} for part, name in names.items()}
            write_text(folder / ABOUT, json.dumps({"format": FORMAT, **about, "files": files}, indent=1) + "\n")
        except BaseException:
            for name in names.values():
                (folder / name).unlink(missing_ok=True)
            raise
        for path in list(folder.iterdir()):
            if _named(path.name) and path.name not in names.values():
                path.unlink()
    except (OSError, RuntimeError) as error:  # FAISS raises the latter
        raise error if isinstance(error, RunError) else RunError(f"cannot write {folder}: {error}") from error


def read(folder: Path, take: Callable[[dict[str, Any], dict[str, Path]], Any]) -> Any:
    """What `take` makes of `index.json` and of the files, whose digests are those of their writing.

    Raises:
        RunError: There is no whole index, it is damaged, or of another format.
    """
    text = ""
    try:
        while True:
            before, text = text, (folder / ABOUT).read_text(encoding="utf-8")
            found = _attempt(folder, text, take)
            if not isinstance(found, Exception):
                return found
            if text == before:  # else a newer one took its place meanwhile
                raise found
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise RunError(f"{folder}: holds no whole index: {error}") from error


def _attempt(folder: Path, text: str, take: Callable[[dict[str, Any], dict[str, Path]], Any]) -> Any:
    try:
        return take(*_checked(folder, json.loads(text)))
    except (OSError, RuntimeError) as error:  # FAISS raises the latter
        return error


def stored(folder: Path) -> dict[str, Any] | None:
    """What `index.json` tells, without a look at the files; None where there is none of this format."""
    try:
        about: dict[str, Any] = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return about if about.get("format") == FORMAT else None


def change(folder: Path, config: Mapping[str, Any]) -> None:
    """Let the index have another config; its files stay.

    Raises:
        RunError: There is none, or the disk refuses.
    """
    about = read(folder, lambda about, _: about)
    write_text(folder / ABOUT, json.dumps({**about, "config": dict(config)}, indent=1) + "\n")


def _checked(folder: Path, about: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Path]]:
    version = about["format"]
    if version != FORMAT:
        newer = isinstance(version, int) and version > FORMAT
        remedy = f"pip install --upgrade '{distribution()}'" if newer else "write it anew"
        raise ValueError(f"it has format {version}, but this version reads {FORMAT}: {remedy}")
    paths = {}
    for part, file in about["files"].items():
        if not _named(file["name"]):
            raise ValueError(f"{ABOUT} names a file '{file['name']}'")
        paths[part] = folder / file["name"]
        if digest(paths[part]) != file["sha256"]:
            raise ValueError(f"{file['name']} is damaged")
    return about, paths


def _named(name: str) -> re.Match[str] | None:
    return re.fullmatch(r"(?:vectors|ids|alive|attributes)-([0-9]+)\.(?:faiss|npy|arrow)", name)


def digest(path: str | os.PathLike[str]) -> str:
    """sha256 of a file."""
    found, buffer = hashlib.sha256(), bytearray(1 << 20)
    view = memoryview(buffer)
    with Path(path).open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            found.update(view[:count])
    return found.hexdigest()
