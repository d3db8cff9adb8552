"""`object_store`: any file system that fsspec knows, such as `s3://`, `gs://`, `hdfs://` or `memory://`.

A look reads `manifest.sha256`, 80 bytes; what is new is copied file by file, each compared with its checksum while it comes, and takes its
name when all of it is there.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field

from easyrec.durable import sync
from easyrec.errors import BundleError, ConfigError
from easyrec.export.bundle import CHECKSUM, MANIFEST, open_sealed, read_manifest
from easyrec.export.manifest import DeltaManifest, FileEntry, Manifest
from easyrec.export.strict_json import MAX_BYTES as MOST_MANIFEST
from easyrec.export.trust import MAX_BYTES as MOST_SIGNATURES
from easyrec.export.trust import SIGNATURES
from serving.server.models import DIGITS
from serving.server.sources import Offer, Room, Source, SourceConfig, hidden
from serving.server.sources.folder import POINTER_BYTES, pointed

CHUNK = 1 << 20
T = TypeVar("T")


class Config(SourceConfig):
    """Config of `object_store`."""

    type: Literal["object_store"] = "object_store"
    url: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9+.\-]*(://|::).+$")
    """A bundle, a text file that names one, relative to itself; or a folder of deltas."""
    options: dict[str, Any] = Field({}, repr=False)
    """Of the file system, as fsspec takes them: keys, an endpoint; secrets as `${ENV}`."""

    @classmethod
    def of_url(cls, url: str) -> dict[str, Any]:
        """The URL as it is written."""
        return {"url": url}

    def open(self, room: Room) -> Source:
        """The place; nothing is asked of it yet.

        Raises:
            ConfigError: fsspec knows no such file system or not its options, or needs another package for it.
        """
        return ObjectStore(self.url, self.options, room)


class ObjectStore(Source):
    """A folder, or a text file, in an object store.

    Args:
        url: It.
        options: Of the file system.
        room: Where what is fetched goes.
    """

    def __init__(self, url: str, options: dict[str, Any], room: Room) -> None:
        import fsspec  # noqa: PLC0415 (a server of folders needs none)

        self.shown = hidden(url)
        self._secrets = [text for text in _texts(options) if len(text) > 3]
        try:
            self._system, self._root = fsspec.core.url_to_fs(url, **options)
        except ImportError as error:  # fsspec says which package brings that file system
            raise ConfigError(f"{self.shown}: {self._plain(error)}") from None
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{self.shown}: {self._plain(error)}") from None
        self._room, self._pointer = room, False
        self._digests: dict[str, str] = {}
        self._manifests: dict[str, DeltaManifest] = {}

    # ------------------------------------------------------------------------------------------------ looks

    def bundle(self) -> Offer:
        """The bundle that is meant at this moment."""
        root, digest = self._current()
        return Offer(self._shown(root), digest, lambda: self._fetch(root, digest, Manifest, "bundles"))

    def deltas(self) -> list[Offer]:
        """The deltas in the folder, by name."""
        self._ask(self._system.invalidate_cache)
        names = self._ask(lambda: self._system.ls(self._root, detail=False), missing=[])
        roots = sorted(str(name).rstrip("/") for name in names)
        shown = [root for root in roots if not root.rpartition("/")[2].startswith(".")]
        # A delta that is known is not read again: that it was replaced is seen when it is fetched.
        self._digests = {root: self._digests.get(root) or self._digest(root) for root in shown}
        self._manifests = {d: m for d, m in self._manifests.items() if d in self._digests.values()}
        return [self.delta(root, digest) for root, digest in self._digests.items() if digest]

    def delta(self, root: str = "", digest: str = "") -> Offer:
        """One delta.

        Args:
            root: Where; default: here.
            digest: Of its manifest; default: what is there.
        """
        root = root or self._root
        digest = digest or self._digest(root)
        place = self._shown(root)
        fetch = lambda: self._fetch(root, digest, DeltaManifest, "deltas")  # noqa: E731
        try:
            manifest = self._manifests.get(digest) or self._described(root, digest)
        except BundleError as error:
            return Offer(place, digest, fetch, error=error)
        self._manifests[digest] = manifest
        return Offer(place, digest, fetch, manifest.base, manifest.result)

    def _current(self) -> tuple[str, str]:
        """The folder that is meant, and the digest of its manifest."""
        for pointer in (self._pointer, not self._pointer):
            root = self._pointed() if pointer else self._root
            digest = self._digest(root) if root else ""
            if digest:
                self._pointer = pointer
                return root, digest
        raise BundleError(f"{self.shown}: no such bundle")

    def _pointed(self) -> str:
        data = self._ask(lambda: self._system.cat_file(self._root, start=0, end=POINTER_BYTES), missing=b"")
        if not data:
            return ""
        text = pointed(data, self.shown)
        plain = self._system._strip_protocol(text) if "://" in text else text
        return str(plain if "://" in text or text.startswith("/") else f"{self._root.rpartition('/')[0]}/{text}")

    def _digest(self, root: str) -> str:
        """Digest of a manifest, from the file beside it; empty where there is none."""
        data: bytes = self._ask(lambda: self._system.cat_file(f"{root}/{CHECKSUM}", start=0, end=200), missing=b"")
        found = re.match(rb"^([0-9a-f]{64})  ", data)
        return found.group(1).decode() if found else ""

    # ---------------------------------------------------------------------------------------------- fetching

    def _described(self, root: str, digest: str) -> DeltaManifest:
        """The manifest of a delta, of which nothing else is fetched."""
        with self._draft(f"look-{digest[:DIGITS]}") as draft:
            self._head(root, digest, draft)
            try:
                return read_manifest(draft, DeltaManifest)
            except BundleError as error:
                raise BundleError(str(error).replace(str(draft), self._shown(root))) from None

    def _fetch(self, root: str, digest: str, kind: Any, folder: str) -> Path:
        """A bundle or delta, in a folder that is called like its digest."""
        target = self._room.folder / folder / digest[:DIGITS]
        with self._draft(digest[:DIGITS]) as draft:
            if _is_whole(target, kind):
                return target
            text = self._head(root, digest, draft)
            try:
                manifest: Manifest | DeltaManifest = read_manifest(draft, kind)
                if self._room.trust is not None:  # before anything large is fetched; at loading it is asked again
                    self._room.trust.signer(draft, text)
            except BundleError as error:
                raise BundleError(str(error).replace(str(draft), self._shown(root))) from None
            for name, entry in manifest.files.items():
                self._copy(f"{root}/{name}", draft / name, entry)
            shutil.rmtree(target, ignore_errors=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            for top, _, files in os.walk(draft):
                for file in (*files, "."):
                    sync(Path(top, file))
            draft.rename(target)
        return target

    def _head(self, root: str, digest: str, draft: Path) -> bytes:
        """Fetch the manifest and what belongs to it."""
        text: bytes = self._ask(lambda: self._system.cat_file(f"{root}/{MANIFEST}", start=0, end=MOST_MANIFEST + 1))
        if hashlib.sha256(text).hexdigest() != digest:
            self._digests.pop(root, None)
            raise BundleError(f"{self._shown(root)}: was replaced while it was read, or is damaged")
        (draft / MANIFEST).write_bytes(text)
        (draft / CHECKSUM).write_text(f"{digest}  {MANIFEST}\n", encoding="ascii")
        sig = f"{root}/{SIGNATURES}"
        signatures = self._ask(lambda: self._system.cat_file(sig, start=0, end=MOST_SIGNATURES + 1), missing=None)
        if signatures is not None:
            (draft / SIGNATURES).write_bytes(signatures)
        return text

    def _copy(self, source: str, target: Path, entry: FileEntry) -> None:
        """Fetch a file, as far as the manifest says that it goes."""
        target.parent.mkdir(parents=True, exist_ok=True)
        shown, digest = self._shown(source), hashlib.sha256()

        def copy() -> int:
            left = entry.bytes
            with self._system.open(source, "rb") as remote, target.open("wb") as local:
                while left > 0 and (data := remote.read(min(CHUNK, left))):
                    digest.update(data)
                    local.write(data)
                    left -= len(data)
                return left + len(remote.read(1))

        if self._ask(copy) or digest.hexdigest() != entry.sha256:
            raise BundleError(f"{shown}: is not the file that the manifest lists: it is damaged, or was being replaced")

    @contextmanager
    def _draft(self, name: str) -> Iterator[Path]:
        """An empty folder that no other process uses; it is removed unless it was renamed."""
        coming = self._room.folder / "coming"
        coming.mkdir(parents=True, exist_ok=True)
        with (coming / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            draft = coming / name
            shutil.rmtree(draft, ignore_errors=True)  # of a process that was killed
            draft.mkdir()
            try:
                yield draft
            finally:
                shutil.rmtree(draft, ignore_errors=True)

    # ----------------------------------------------------------------------------------------------- errors

    def _ask(self, what: Callable[[], T], **missing: Any) -> Any:
        """What the file system answers; `missing` where there is no such file."""
        try:
            return what()
        except BundleError:
            raise
        except FileNotFoundError as error:
            if "missing" in missing:
                return missing["missing"]
            raise BundleError(f"{self.shown}: {self._plain(error)}: no such file") from None
        except Exception as error:  # noqa: BLE001 (every file system has errors of its own)
            if "missing" in missing and isinstance(error, IsADirectoryError | NotADirectoryError):
                return missing["missing"]
            raise BundleError(f"{self.shown}: cannot be read: {type(error).__name__}: {self._plain(error)}") from None

    def _plain(self, error: BaseException) -> str:
        """The first line of an error, without values of the options."""
        text = (str(error).splitlines() or [""])[0][:300]
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def _shown(self, root: str) -> str:
        return f"{self.shown.partition('://')[0]}://{root.lstrip('/')}"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value


def _is_whole(path: Path, kind: Any) -> bool:
    try:
        open_sealed(path, kind, verify=False)
    except BundleError:
        return False
    return True
