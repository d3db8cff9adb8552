"""`Files`: the files that were put in, those of each upload in a folder, under the names of their documents."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from easyrec.durable import sync


class Files:
    """The folder of all files.

    Args:
        folder: It; made where it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, file: str) -> Path:
        """Where a file lies."""
        return self.folder / file

    def under(self, file: str) -> Path:
        """The folder from which on it has the name of its document."""
        return self.folder / file.partition("/")[0]

    def take(self, path: Path, held: str, source: str) -> str:
        """Move a file here, and say how it is asked for; after a crash it is whole, or not there.

        Args:
            path: Where it lies.
            held: What `new` gave for its upload.
            source: What its document is called: names with `/` between them.
        """
        target = self.folder / held / source
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
        for folder in target.parents:
            sync(folder)
            if folder == self.folder:
                break
        return f"{held}/{source}"

    def drop(self, file: str) -> None:
        """Remove one, and the folders that are empty then."""
        path = self.path(file)
        path.unlink(missing_ok=True)
        with suppress(OSError):  # there is something in it
            for folder in path.parents:
                if folder == self.folder:
                    break
                folder.rmdir()

    def sweep(self, known: Iterable[str]) -> None:
        """Remove all that are not known: of uploads that never became tasks, as the server died before."""
        kept = set(known)
        for path in [path for path in self.folder.rglob("*") if path.is_file()]:
            file = path.relative_to(self.folder).as_posix()
            if file not in kept:
                self.drop(file)


def new() -> str:
    """The folder of an upload, below which its files have the names of their documents."""
    return secrets.token_hex(16)
