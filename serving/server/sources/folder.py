"""`folder`: a folder of this machine, a link to one, or a text file that names one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from easyrec.errors import BundleError
from easyrec.export.bundle import MANIFEST, digest_of, read_manifest
from easyrec.export.manifest import DeltaManifest
from serving.server.sources import Offer, Room, Source, SourceConfig

POINTER_BYTES = 4096


class Config(SourceConfig):
    """Config of `folder`."""

    type: Literal["folder"] = "folder"
    path: str = Field(min_length=1)
    """A bundle, a link to one, a text file that names one, relative to itself; or a folder of deltas."""

    @classmethod
    def of_url(cls, url: str) -> dict[str, Any]:
        """A path, or `file://` before one."""
        return {"path": url.removeprefix("file://")}

    def open(self, room: Room) -> Source:
        """The folder; nothing needs to be fetched."""
        return Folder(self.path)


class Folder(Source):
    """A folder.

    Args:
        path: It.
    """

    def __init__(self, path: str) -> None:
        self.shown = path

    def bundle(self) -> Offer:
        """The bundle that is meant at this moment."""
        path = where(self.shown)
        return Offer(str(path), digest_of(path) if (path / MANIFEST).exists() else "", lambda: path)

    def deltas(self) -> list[Offer]:
        """The deltas in it, by name."""
        folder = Path(self.shown)
        names = sorted(folder.iterdir()) if folder.is_dir() else []
        return [delta_at(p) for p in names if not p.name.startswith(".") and (p / MANIFEST).is_file()]


def delta_at(path: Path) -> Offer:
    """The delta in a folder."""
    try:
        manifest = read_manifest(path, DeltaManifest)
        return Offer(str(path), digest_of(path), lambda: path, manifest.base, manifest.result)
    except BundleError as error:
        return Offer(str(path), "", lambda: path, error=error)


def where(source: str) -> Path:
    """The folder that a path means at this moment: links are followed, and a text file names it.

    Raises:
        BundleError: There is nothing, or the file names no folder.
    """
    path = Path(source)
    if path.is_file():
        try:
            with path.open("rb") as file:
                text = pointed(file.read(POINTER_BYTES), str(path))
        except OSError as error:
            raise BundleError(f"{path}: cannot be read: {error}") from None
        path = path.parent / text
    if not path.is_dir():
        raise BundleError(f"{path}: no such bundle")
    return path.resolve()


def pointed(data: bytes, shown: str) -> str:
    """The line in a text file that names a bundle.

    Raises:
        BundleError: It is none.
    """
    try:
        text = data.decode().strip()
    except UnicodeDecodeError as error:
        raise BundleError(f"{shown}: cannot be read: {error}") from None
    if not text or "\n" in text or "\0" in text:
        raise BundleError(f"{shown}: must hold one line, the path of a bundle")
    return text
