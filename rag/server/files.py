"""`Files`: the files that were put in, each in a folder of its own, under the name of its document."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterable
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

    def take(self, path: Path, source: str) -> str:
        """Move a file here, and say how it is asked for; after a crash it is whole, or not there.

        Args:
            path: Where it lies.
            source: What its document is called: names with `/` between them.
        """
        held = secrets.token_hex(16)
        target = self.folder / held / source
        target.parent.mkdir(parents=True)
        path.rename(target)
        for folder in target.parents:
            sync(folder)
            if folder == self.folder:
                break
        return f"{held}/{source}"

    def drop(self, file: str) -> None:
        """Remove one."""
        shutil.rmtree(self.under(file), ignore_errors=True)

    def sweep(self, known: Iterable[str]) -> None:
        """Remove all that are not known: of uploads that never became tasks, as the server died before."""
        kept = {file.partition("/")[0] for file in known}
        for path in self.folder.iterdir():
            if path.name not in kept:
                shutil.rmtree(path, ignore_errors=True)
