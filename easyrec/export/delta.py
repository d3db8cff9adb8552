"""What changed between two bundles, small where few rows did: it makes the newer bundle of the older one, to the byte.

    manifest.json       of which bundle it makes which; checksums of every other file
    result/             the manifest of the newer bundle
    rows/               rows of tables that changed, and their values
    whole/              files that changed and are no tables

Knows no torch. Reading runs nothing that a delta holds: JSON and .npy without objects.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from easyrec.embedding import native
from easyrec.embedding.packing import STORED
from easyrec.errors import BundleError
from easyrec.export.bundle import (
    CHECKSUM,
    MANIFEST,
    Bundle,
    digest_of,
    entry_of,
    open_sealed,
    read_manifest,
    write_bundle,
)
from easyrec.export.manifest import ArrayChange, DeltaManifest, Manifest
from easyrec.export.strict_json import dump
from easyrec.export.trust import SignatureFile, Trust

RESULT, ROWS, WHOLE = "result", "rows", "whole"
CHUNK = 1 << 22
"""Numbers that are compared at once."""
HEADER = 4096
"""Bytes that a file of an array may have beside its numbers."""
KINDS = (*STORED.values(), np.dtype(np.int64))
"""Types of arrays whose rows are compared: tables, and the ids of dynamic ones."""
MOST = 0.5
"""Share of the rows of a table that may have changed; above it is stored whole."""


@dataclass(frozen=True)
class Delta:
    """A delta that was written.

    Attributes:
        path: Its folder.
        changed: Rows of tables that changed, by file of the bundle.
        bytes: Its size.
        whole: Files that it holds as a whole: what is no table, and tables of which too many rows changed.
    """

    path: Path
    changed: dict[str, int]
    bytes: int
    whole: tuple[str, ...] = ()


def make_delta(
    old: str | os.PathLike[str], new: str | os.PathLike[str], output: str | os.PathLike[str], *, overwrite: bool = False
) -> Delta:
    """Write what makes the bundle `new` of the bundle `old`.

    Args:
        old: A bundle, e.g. the one that is served.
        new: A bundle of the same model, trained further.
        output: Where the delta goes.
        overwrite: Replace what is there.

    Raises:
        BundleError: One of them is damaged.
        RunError: `output` is there already, or the disk refuses.
    """
    before, after = Bundle.open(old), Bundle.open(new)
    arrays: dict[str, ArrayChange] = {}
    whole: list[str] = []
    with write_bundle(output, overwrite=overwrite) as draft:
        rows = draft.folder(ROWS)
        for name, entry in after.manifest.files.items():
            known = before.manifest.files.get(name)
            if known is not None and known.sha256 == entry.sha256:
                continue
            change = None if known is None else _changes(before.path / name, after.path / name, len(arrays), rows)
            if change is not None:
                arrays[name] = change
                continue
            whole.append(name)
            target = draft.path / WHOLE / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(after.path / name, target)
        for name in (MANIFEST, CHECKSUM):
            shutil.copyfile(after.path / name, draft.folder(RESULT) / name)
        draft.manifest = DeltaManifest(
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            base=digest_of(before.path),
            result=digest_of(after.path),
            arrays=arrays,
        )
    size = sum(path.stat().st_size for path in Path(output).rglob("*") if path.is_file())
    return Delta(Path(output), {name: change.changed for name, change in arrays.items()}, size, tuple(whole))


def apply_delta(
    bundle: str | os.PathLike[str],
    delta: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    trust: Trust | None = None,
) -> Path:
    """Write the bundle that a delta makes of another one: the bytes of a whole export, each compared with its checksum.

    Files that did not change are links to those of `bundle` where the file system has such, so they take no room.

    Args:
        bundle: The bundle that the delta begins at; it stays as it is.
        delta: The delta.
        output: Where the new bundle goes.
        overwrite: Replace what is there.
        trust: Whose bundles and deltas are taken; what comes out bears the signatures that the delta has for it.

    Raises:
        BundleError: Bundle or delta are damaged, the delta begins at another bundle, or none whom you trust signed them.
        RunError: `output` is there already, or the disk refuses.
    """
    folder, base = Path(delta), Bundle.open(bundle, trust=trust)
    manifest = open_sealed(folder, DeltaManifest, trust=trust)
    if digest_of(base.path) != manifest.base:
        told = "is what this delta makes already" if digest_of(base.path) == manifest.result else "is another bundle"
        raise BundleError(f"{folder}: begins at the bundle {manifest.base[:12]}, but {base.path} {told}")
    result = _result_of(folder, manifest)
    signatures = SignatureFile.of(folder).result
    if trust is not None:
        trust.signer(folder / RESULT, (folder / RESULT / MANIFEST).read_bytes(), signatures)
    with write_bundle(output, overwrite=overwrite) as draft:
        for name, entry in result.files.items():
            target = draft.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if name in manifest.arrays:
                most = max((int(table["rows"]) for table in result.embeddings.get("tables", [])), default=0)
                _patch(base.path / name, target, manifest.arrays[name], folder / ROWS, entry.bytes, most)
            elif f"{WHOLE}/{name}" in manifest.files:
                shutil.copyfile(folder / WHOLE / name, target)
            elif base.manifest.files.get(name) == entry:  # and has been compared with it
                _link(base.path / name, target)
                continue
            else:
                raise BundleError(f"{folder}: has nothing of '{name}', which its result holds")
            if entry_of(target) != entry:
                raise BundleError(f"{folder}: gives another '{name}' than its result holds: export the bundle whole")
        draft.manifest, draft.ready = result, folder / RESULT
        if signatures:
            kept = SignatureFile(signatures=signatures)
            draft.signatures = dump(kept.model_dump(mode="json", exclude_defaults=True))
    return Path(output)


def _result_of(folder: Path, delta: DeltaManifest) -> Manifest:
    """The manifest of what comes out, which names no file outside of a bundle."""
    path = folder / RESULT
    if digest_of(path) != delta.result:
        raise BundleError(f"{folder}: its result is another bundle than its manifest says")
    return read_manifest(path, Manifest)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


# ---------------------------------------------------------------------------------------------------- arrays


def _read(path: Path) -> np.ndarray | None:
    """The matrix in a file, mapped; None where there is none, or an empty one."""
    if path.suffix != ".npy":
        return None
    try:
        array: Any = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        return None
    return array if array.ndim == 2 and 0 not in array.shape and array.dtype in KINDS else None


def _changes(old: Path, new: Path, number: int, folder: Path) -> ArrayChange | None:
    """Write the rows of a table or map that changed; None where it is better stored whole."""
    before, after = _read(old), _read(new)
    if before is None or after is None or before.dtype != after.dtype or before.shape[1] != after.shape[1]:
        return None
    if new.name.startswith("keys-"):
        return _changed_keys(before, after, number, folder)
    if after.dtype == np.int64:
        return None
    found = np.concatenate([np.zeros(0, np.int64), *_changed_rows(before, after)])
    if not len(found) or len(found) > MOST * len(after):  # none: the shape alone is another one
        return None
    np.save(folder / f"{number}.npy", found)
    shape = (len(found), after.shape[1])
    values = np.lib.format.open_memmap(folder / f"{number}.values.npy", mode="w+", dtype=after.dtype, shape=shape)
    step = max(1, CHUNK // after.shape[1])
    for start in range(0, len(found), step):
        values[start : start + step] = after[found[start : start + step]]
    values.flush()
    return ArrayChange(number=number, kind="rows", shape=after.shape, changed=len(found))


def _changed_rows(before: np.ndarray, after: np.ndarray) -> Iterator[np.ndarray]:
    """Rows whose bits differ, and those that there were not, ascending, part by part."""
    step, both = max(1, CHUNK // after.shape[1]), min(len(before), len(after))
    for start in range(0, both, step):
        stop = min(start + step, both)
        one, two = (np.ascontiguousarray(a[start:stop]).view(f"u{a.itemsize}") for a in (before, after))
        yield start + np.flatnonzero((one != two).any(axis=1))
    yield np.arange(both, len(after))


def _changed_keys(before: np.ndarray, after: np.ndarray, number: int, folder: Path) -> ArrayChange | None:
    """Write the rows that have another id than before, -1 in `rows` of their second column for none."""
    old, new = _by_row(before), _by_row(after)
    most = max(len(old[0]), len(new[0]))
    (ids, had), (others, have) = (_padded(part, most) for part in (old, new))
    found = np.flatnonzero((had != have) | (have & (ids != others)))
    if len(found) > MOST * most:
        return None
    np.save(folder / f"{number}.npy", found)
    np.save(folder / f"{number}.values.npy", np.stack([others[found], have[found].astype(np.int64)], axis=1))
    return ArrayChange(number=number, kind="keys", shape=after.shape, changed=len(found))


def _by_row(slots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rows,) the id of each row, and whether it has one."""
    held = slots[slots[:, 1] >= 0]
    size = int(held[:, 1].max()) + 1 if len(held) else 0
    ids, have = np.zeros(size, np.int64), np.zeros(size, bool)
    ids[held[:, 1]], have[held[:, 1]] = held[:, 0], True
    return ids, have


def _padded(part: tuple[np.ndarray, np.ndarray], size: int) -> tuple[np.ndarray, np.ndarray]:
    ids, have = part
    more = size - len(ids)
    return np.pad(ids, (0, more)), np.pad(have, (0, more))


def _patch(source: Path, target: Path, change: ArrayChange, folder: Path, size: int, most: int) -> None:
    """Write a table or map with the changes; `size` is that of the file afterwards, `most` bounds the rows of any table."""
    before = _read(source)
    wanted = change.shape[0] * change.shape[1] * (0 if before is None else before.itemsize)
    if not 0 <= size - wanted <= HEADER:
        raise BundleError(f"{folder}: the shape of '{target.name}' is not that of its result")
    rows, values = (_load(folder / f"{change.number}{part}.npy") for part in ("", ".values"))
    if before is None or rows.dtype != np.int64 or rows.ndim != 1 or values.ndim != 2 or len(values) != len(rows):
        raise BundleError(f"{folder}: the changes of '{target.name}' do not fit the file that they are of")
    if len(rows) and (rows[0] < 0 or (np.diff(rows) <= 0).any()):
        raise BundleError(f"{folder}: the changed rows of '{target.name}' do not ascend")
    if change.kind == "keys":
        if len(rows) and rows[-1] >= most:
            raise BundleError(f"{folder}: a changed row of '{target.name}' lies outside of every table")
        _patch_keys(before, target, rows, values)
        return
    if change.shape[1] != before.shape[1] or values.shape[1:] != before.shape[1:] or values.dtype != before.dtype:
        raise BundleError(f"{folder}: the changes of '{target.name}' have another width or type")
    if len(rows) and rows[-1] >= change.shape[0]:
        raise BundleError(f"{folder}: a changed row of '{target.name}' lies outside of it")
    after = np.lib.format.open_memmap(target, mode="w+", dtype=before.dtype, shape=change.shape)
    both = min(len(before), len(after))
    step = max(1, CHUNK // after.shape[1])
    for start in range(0, both, step):
        after[start : min(start + step, both)] = before[start : min(start + step, both)]
    after[rows] = values
    after.flush()


def _patch_keys(before: np.ndarray, target: Path, rows: np.ndarray, values: np.ndarray) -> None:
    if values.dtype != np.int64 or values.shape[1] != 2:
        raise BundleError(f"the changes of '{target.name}' are no ids")
    ids, have = _by_row(before)
    size = max(len(ids), int(rows[-1]) + 1 if len(rows) else 0)
    ids, have = _padded((ids, have), size)
    ids[rows], have[rows] = values[:, 0], values[:, 1] != 0
    held = np.flatnonzero(have)
    try:
        slots = native.key_slots(ids[held], held)
    except ValueError as error:
        raise BundleError(f"the changes of '{target.name}' do not fit: {error}") from error
    np.save(target, slots, allow_pickle=False)


def _load(path: Path) -> np.ndarray:
    try:
        # An empty one cannot be mapped.
        mode: Any = "r" if path.stat().st_size > HEADER else None
        array: np.ndarray = np.load(path, mmap_mode=mode, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: cannot be read: {error}") from None
    return array
