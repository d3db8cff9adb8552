"""The bundle: one directory that holds all a prediction needs. Written whole or not at all, verified when read.

    manifest.json       what it is; checksums of every other file
    manifest.sha256     checksum of the manifest, as `sha256sum -c` reads it
    manifest.sig        signatures over the manifest, where somebody signed
    generator/          the FeatureGenerator
    program/            the dense part
    tables/             embedding tables, mapped into memory
    warmup/             raw rows with the features and scores that training gave them
    profile.json        histograms of scores and features

Knows no torch. Reading runs nothing that a bundle holds: JSON, .npy without objects, Arrow and safetensors only.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

from pydantic import ValidationError

from easyrec.durable import sync
from easyrec.errors import BundleError, RunError, distribution
from easyrec.export.manifest import (
    FORMAT_VERSION,
    STATISTIC_FORMAT,
    DeltaManifest,
    FileEntry,
    Manifest,
    StatisticManifest,
)
from easyrec.export.strict_json import dump, parse, read_bytes
from easyrec.export.trust import SIGNATURES, Trust

MANIFEST = "manifest.json"
CHECKSUM = "manifest.sha256"
BESIDE = (MANIFEST, CHECKSUM, SIGNATURES)
"""Files that no manifest lists."""
MAX_PATH = 1024
M = TypeVar("M", Manifest, StatisticManifest, DeltaManifest)


# ----------------------------------------------------------------------------------------------- writing


class Draft:
    """A bundle being written.

    Attributes:
        path: Where its files go until it is complete.
        manifest: To be set before the end; `files` is filled in when the bundle is closed.
        ready: Folder of its manifest and checksum where these are written already, and the files are known to be those.
        signatures: What `manifest.sig` is to hold; None: it is not signed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest: Manifest | StatisticManifest | DeltaManifest | None = None
        self.ready: Path | None = None
        self.signatures: bytes | None = None

    def folder(self, name: str) -> Path:
        """A folder of the bundle, made if it is not there."""
        folder = self.path / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


@contextmanager
def write_bundle(directory: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Draft]:
    """Write a bundle under a temporary name beside `directory`; it takes its name when all is on disk.

    Leaving the block with an error removes what was written and leaves an older bundle as it is. Each writer has a
    name and a folder of its own, so that `easyrec export` during the export of training spoils neither.

    Raises:
        RunError: `directory` exists and `overwrite` is not set, or the disk refuses (e.g. it is full).
    """
    target = Path(directory)
    if target.exists() and not overwrite:
        raise RunError(f"{target} exists: remove it, or ask to overwrite it")
    draft = Draft(target.parent / f".{target.name}.writing-{secrets.token_hex(4)}")
    held = -1
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _clear(target)
        draft.path.mkdir()
        held = os.open(draft.path, os.O_RDONLY)
        _lock(held)
        yield draft
        assert draft.manifest is not None, "a bundle needs a manifest"
        if draft.signatures is not None:
            (draft.path / SIGNATURES).write_bytes(draft.signatures)
        _seal(draft.path, draft.manifest, draft.ready)
        _take_name(draft.path, target)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error  # Arrow tells more, and less clearly
        raise RunError(f"{target}: cannot write the bundle: {reason}") from error
    finally:
        if held >= 0:
            os.close(held)
        _remove(draft.path)


def _clear(target: Path) -> None:
    """Remove what killed processes left behind: folders beside `target` that no writer holds."""
    for path in target.parent.iterdir():
        if path.name.startswith(f".{target.name}.replaced-") and path.is_dir() and not target.exists():
            if not _written(path.with_name(path.name.replace(".replaced-", ".writing-"))):
                path.rename(target)  # its writer was killed between the two renames
            continue
        if path.name.startswith((f".{target.name}.writing-", f".{target.name}.replaced-")) and path.is_dir():
            handle = os.open(path, os.O_RDONLY)
            try:
                if _lock(handle):
                    _remove(path)
            finally:
                os.close(handle)


def _written(path: Path) -> bool:
    """Whether a writer holds a folder."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not _lock(handle)
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    """Whether the open folder is ours now; where the file system knows no locks, it is not."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _seal(path: Path, manifest: Manifest | StatisticManifest | DeltaManifest, ready: Path | None) -> None:
    """Write manifest and checksum, and force everything to disk."""
    if ready is not None:
        for name in (MANIFEST, CHECKSUM):
            shutil.copyfile(ready / name, path / name)
    else:
        files = {name: entry_of(path / name) for name in _walk(path) if name not in BESIDE}
        text = dump(manifest.model_copy(update={"files": files}).model_dump(mode="json"))
        (path / MANIFEST).write_bytes(text)
        (path / CHECKSUM).write_text(f"{hashlib.sha256(text).hexdigest()}  {MANIFEST}\n", encoding="ascii")
    for root, _, names in os.walk(path):
        for name in (*names, "."):
            sync(Path(root, name))


def _take_name(path: Path, target: Path) -> None:
    old = target.parent / path.name.replace(".writing-", ".replaced-")
    if target.exists():
        target.rename(old)
    path.rename(target)
    sync(target.parent)
    _remove(old)


def _remove(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path, ignore_errors=True)  # another writer may be clearing too


# ----------------------------------------------------------------------------------------------- reading


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk whose manifest was read.

    Attributes:
        path: Its directory.
        manifest: What it says of itself.
        signed_by: The trusted key that signed it; None: nobody asked, or none did.
        verified: Whether every file was compared with its checksum.
    """

    path: Path
    manifest: Manifest
    signed_by: str | None = None
    verified: bool = False

    @staticmethod
    def open(directory: str | os.PathLike[str], *, verify: bool = True, trust: Trust | None = None) -> Bundle:
        """Read the manifest and check the files against it.

        Args:
            directory: The bundle.
            verify: Compare the checksum of every file; without it only names and sizes are compared.
            trust: Whose bundles are taken. A signature is one over checksums, so these are compared in any case.

        Raises:
            BundleError: It is no bundle, is of a newer format, its files are not those that were written, or none whom
                you trust signed it.
        """
        path = Path(directory)
        manifest, signer = _open_sealed(path, Manifest, verify=verify, trust=trust)
        return Bundle(path, manifest, signer, verify or signer is not None)

    def file(self, name: str) -> Path:
        """The path of a file that the manifest lists.

        Raises:
            BundleError: It lists no such file.
        """
        if name not in self.manifest.files:
            raise BundleError(f"{self.path}: the manifest lists no file '{name}'")
        return self.path / name

    def checksums(self, name: str) -> dict[str, str]:
        """The checksums of the files of a folder, by their names in it, where they were compared; else empty."""
        listed = self.manifest.files.items() if self.verified else ()
        return {file.removeprefix(f"{name}/"): entry.sha256 for file, entry in listed if file.startswith(f"{name}/")}

    def folder(self, name: str) -> Path:
        """The path of a folder in which the manifest lists at least one file.

        Raises:
            BundleError: It lists none.
        """
        if not any(file.startswith(f"{name}/") for file in self.manifest.files):
            raise BundleError(f"{self.path}: the manifest lists no file in '{name}/'")
        return self.path / name


def open_sealed(path: Path, kind: type[M], *, verify: bool = True, trust: Trust | None = None) -> M:
    """The manifest of a bundle of some kind, whose files are those that it lists.

    Raises:
        BundleError: As for `Bundle.open`.
    """
    return _open_sealed(path, kind, verify=verify, trust=trust)[0]


def _open_sealed(path: Path, kind: type[M], *, verify: bool, trust: Trust | None) -> tuple[M, str | None]:
    if not path.is_dir():
        raise BundleError(f"{path}: no such bundle")
    manifest, text = _read(path, kind)
    signer = None if trust is None else trust.signer(path, text)
    _check_files(path, manifest.files, verify=verify or trust is not None)
    return manifest, signer


def _check_files(path: Path, listed: Mapping[str, FileEntry], *, verify: bool) -> None:
    found = set(_walk(path)).difference(BESIDE)
    for name in sorted(set(listed) - found):
        raise BundleError(f"{path}: '{name}' is missing")
    for name in sorted(found - set(listed)):
        raise BundleError(f"{path}: '{name}' is not listed in the manifest; a bundle holds nothing else")
    for name, entry in listed.items():
        size = (path / name).stat().st_size
        if size != entry.bytes:
            raise BundleError(
                f"{path}: '{name}' has {size} bytes, but was written with {entry.bytes}: the bundle is damaged"
            )
    for name, entry in listed.items() if verify else ():
        if _sha256(path / name) != entry.sha256:
            raise BundleError(f"{path}: '{name}' does not have its checksum: the bundle is damaged")


def _plain_file(path: Path, name: str) -> None:
    """Refuse what is missing, and what would lead elsewhere or block a reader."""
    try:
        mode = (path / name).lstat().st_mode
    except OSError:
        below = [str(held.parent) for deep in ("*", "*/*") for held in sorted(path.glob(f"{deep}/warmup"))]
        near = f"; below it is {', '.join(below[:3])}" if below else ""
        raise BundleError(f"{path}: holds no {name}, so it is no bundle, or not all of one{near}") from None
    if not stat.S_ISREG(mode):
        raise BundleError(f"{path}: '{name}' is a link, folder or device; a bundle holds plain files only")


def digest_of(path: Path) -> str:
    """Digest of the manifest of a bundle, which names every byte of it."""
    return _sha256(path / MANIFEST)


def read_manifest(path: Path, kind: type[M]) -> M:
    """The manifest in a folder, which may lack the files that it lists; their paths lie inside of a bundle.

    Raises:
        BundleError: It is damaged, of another kind or of a newer format.
    """
    return _read(path, kind)[0]


def _read(path: Path, kind: type[M]) -> tuple[M, bytes]:
    """The manifest, and the bytes that it was read from."""
    for name in (MANIFEST, CHECKSUM):
        _plain_file(path, name)
    text = read_bytes(path / MANIFEST)
    manifest = _parsed(path, text, kind)
    for name in manifest.files:
        _check_name(path, name)
    return manifest, text


def _parsed(path: Path, text: bytes, kind: type[M]) -> M:
    data, wanted = parse(text, str(path / MANIFEST)), kind.model_fields["format"].default
    if isinstance(data, dict) and data.get("format") == STATISTIC_FORMAT != wanted:
        raise BundleError(
            f"{path}: holds an item-to-item statistic, which has no program to run: `easyrec retrieve` reads it, "
            "and recall its neighbours.parquet"
        )
    if not isinstance(data, dict) or data.get("format") != wanted:
        raise BundleError(f"{path / MANIFEST}: is not the manifest of a bundle: its 'format' is not '{wanted}'")
    version = data.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise BundleError(
            f"{path}: has bundle format {version}, but this version reads up to {FORMAT_VERSION}: "
            f"pip install --upgrade '{distribution()}'"
        )
    try:
        recorded = (path / CHECKSUM).read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: '{CHECKSUM}' cannot be read: {error.strerror}") from None
    if recorded != f"{hashlib.sha256(text).hexdigest()}  {MANIFEST}\n".encode():
        raise BundleError(f"{path}: '{MANIFEST}' does not have the checksum in '{CHECKSUM}': the bundle is damaged")
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BundleError(f"{path / MANIFEST}: {where}: {first['msg']}") from None


def _check_name(bundle: Path, name: str) -> None:
    """Refuse a path that could lead out of the bundle, or that some system reads differently."""
    parts = name.split("/")
    plain = name.isprintable() and len(name) <= MAX_PATH and not any(c in name for c in "\\:")
    if not plain or name in BESIDE or any(part in ("", ".", "..") for part in parts):
        raise BundleError(f"{bundle}: the manifest lists '{name[:200]}', which is no path inside a bundle")


def _walk(path: Path) -> Iterator[str]:
    """Paths of all files below `path`, sorted, in POSIX form."""
    for root, folders, names in os.walk(path, onerror=_unreadable):
        folders.sort()
        for name in (*folders, *sorted(names)):
            full = Path(root, name)
            mode = full.lstat().st_mode
            relative = str(PurePosixPath(full.relative_to(path)))
            if stat.S_ISREG(mode):
                yield relative
            elif not stat.S_ISDIR(mode):
                raise BundleError(f"{path}: '{relative}' is a link or device; a bundle holds plain files only")


def _unreadable(error: OSError) -> None:
    raise BundleError(f"{error.filename}: cannot be read: {error.strerror}")


def entry_of(path: Path) -> FileEntry:
    """Size and checksum of a file."""
    return FileEntry(sha256=_sha256(path), bytes=path.stat().st_size)


def _sha256(path: Path) -> str:
    digest, buffer = hashlib.sha256(), bytearray(1 << 20)
    view = memoryview(buffer)
    try:
        with path.open("rb", buffering=0) as file:
            while count := file.readinto(buffer):
                digest.update(view[:count])
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from None
    return digest.hexdigest()
