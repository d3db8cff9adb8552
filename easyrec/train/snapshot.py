"""A checkpoint as a folder: complete or not there, every byte under a checksum.

```
checkpoints/step-1200/
    manifest.json     format version, size and sha256 of every other file
    state.json        plain values: step, loader position, generators of randomness, metrics
    *.safetensors     dense tensors
    *.npy             tables
```
A checkpoint is written under a temporary name, synced and renamed; whatever interrupts this leaves the former ones.
"""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote, unquote

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as tensors_of
from safetensors.torch import save as bytes_of
from torch import Tensor

from easyrec.chunks import row_chunks
from easyrec.durable import sync
from easyrec.errors import CheckpointError

FORMAT = 1
PENDING = ".writing-"
REPLACED = ".replaced-"
_CHUNK = 1 << 24
_SYNCS = 8
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

Producer: TypeAlias = Callable[[Callable[[Any], None]], None]
"""Hands the bytes of a file to its argument, piece by piece."""


@dataclass
class Snapshot:
    """What a checkpoint holds.

    Attributes:
        state: Plain JSON values.
        tensors: Dense tensors, by file and name.
        arrays: Tables and their optimizers' state, by name; written from where they lie, and read-only
            maps of the files after `read`.
    """

    state: dict[str, Any]
    tensors: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes of tensors and arrays."""
        dense = sum(t.numel() * t.element_size() for part in self.tensors.values() for t in part.values())
        whole: int | None = getattr(self.arrays, "nbytes", None)  # of arrays that are made when they are asked for
        return dense + (sum(a.nbytes for a in self.arrays.values()) if whole is None else whole)


class _Writer:
    """Files of a folder, hashed while they are written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, dict[str, Any]] = {}

    def write(self, name: str, produce: Producer) -> None:
        digest, size = hashlib.sha256(), 0
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        with path.open("wb") as file:

            def put(data: Any) -> None:
                nonlocal size
                view = memoryview(data).cast("B")
                for start in range(0, len(view), _CHUNK):
                    piece = view[start : start + _CHUNK]
                    digest.update(piece)
                    size += file.write(piece)

            produce(put)
        self.files[name] = {"bytes": size, "sha256": digest.hexdigest()}


def _plain(data: bytes) -> Producer:
    return lambda put: put(data)


def _npy(array: np.ndarray) -> Producer:
    def produce(put: Callable[[Any], None]) -> None:
        header = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
        text = repr(header)
        # Format 1.0: magic, version, header length, header padded to a multiple of 64.
        text += " " * (-(10 + len(text) + 1) % 64) + "\n"
        put(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode("latin1"))
        flat = array.reshape(1) if array.ndim == 0 else array
        for rows in row_chunks(flat):  # what lies on disk does not come to memory whole
            put(np.ascontiguousarray(flat[rows]).reshape(-1).view(np.uint8))

    return produce


def write_folder(path: Path, snapshot: Snapshot) -> None:
    """Write the snapshot as the folder `path`, all of it or nothing; a former one gives way at the very end.

    Raises:
        CheckpointError: There is no room, or the disk refuses; `path` is as it was.
    """
    pending = path.with_name(f"{PENDING}{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(pending, ignore_errors=True)
        pending.mkdir()
        writer = _Writer(pending)
        for file, tensors in snapshot.tensors.items():
            data = bytes_of({name: t.detach().clone().contiguous() for name, t in tensors.items()})
            writer.write(f"{file}.safetensors", _plain(data))
        for name, array in snapshot.arrays.items():
            writer.write(f"tables/{quote(name, safe=' ()[]+=,@')}.npy", _npy(array))
        state = json.dumps(snapshot.state, indent=1, allow_nan=True).encode()
        writer.write("state.json", _plain(state))
        manifest = json.dumps({"format": FORMAT, "files": writer.files}, indent=1).encode()
        writer.write("manifest.json", _plain(manifest))
        with ThreadPoolExecutor(_SYNCS) as pool:  # the disk's journal serves several at once
            list(pool.map(sync, (*pending.rglob("*"), pending)))
        replaced = path.with_name(f"{REPLACED}{path.name}")
        if path.exists():
            path.rename(replaced)
        pending.rename(path)
        sync(path.parent)
        shutil.rmtree(replaced, ignore_errors=True)
    except OSError as error:
        shutil.rmtree(pending, ignore_errors=True)
        raise CheckpointError(_refused(path, snapshot, error)) from error
    except BaseException:
        shutil.rmtree(pending, ignore_errors=True)
        raise


def _refused(path: Path, snapshot: Snapshot, error: OSError) -> str:
    text = f"cannot write the checkpoint {path}: {error.strerror or error}; it needs {_size(snapshot.nbytes)}"
    if error.errno in _FULL:
        text += f", {_size(shutil.disk_usage(path.parent).free)} are free"
    return f"{text}. Former checkpoints are untouched"


def _size(number: int) -> str:
    return f"{number / 1e6:,.1f} MB" if number >= 1e6 else f"{number / 1e3:,.1f} kB"


def read_folder(path: Path) -> Snapshot:
    """Read a checkpoint and verify every byte of it.

    Raises:
        CheckpointError: Something is missing, damaged, or written by a newer version; names the file.
    """
    manifest = _manifest(path)
    arrays: dict[str, np.ndarray] = {}
    snapshot = Snapshot({}, arrays=arrays)
    for name, said in manifest["files"].items():
        file = path / name
        _verify(file, said)
        try:
            if name == "state.json":
                snapshot.state = json.loads(file.read_bytes())
            elif name.endswith(".safetensors"):
                snapshot.tensors[name.removesuffix(".safetensors")] = tensors_of(file.read_bytes())
            elif name.endswith(".npy"):
                key = unquote(Path(name).name.removesuffix(".npy"))
                arrays[key] = _load_array(file)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{file}: cannot be read: {error}") from error
    return snapshot


def _load_array(file: Path) -> np.ndarray:
    # An empty file cannot be mapped.
    array: np.ndarray = np.load(file, mmap_mode=None if file.stat().st_size <= 128 else "r", allow_pickle=False)
    return array


def _manifest(path: Path) -> Any:
    file = path / "manifest.json"
    try:
        manifest = json.loads(file.read_bytes())
        version, files = manifest["format"], manifest["files"]
        sound = isinstance(version, int) and "state.json" in files and all(".." not in name for name in files)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: is no checkpoint, it has no manifest.json") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{file}: cannot be read: {error}") from error
    if not sound:
        raise CheckpointError(f"{file}: is not the manifest of a checkpoint")
    if version > FORMAT:
        raise CheckpointError(f"{path}: has format {version}, this version reads up to {FORMAT}")
    return manifest


def _verify(file: Path, said: Mapping[str, Any]) -> None:
    digest = hashlib.sha256()
    try:
        size = file.stat().st_size
        if size != said["bytes"]:
            raise CheckpointError(f"{file}: is damaged: {size:,} bytes instead of {said['bytes']:,}")
        with file.open("rb") as stream:
            while piece := stream.read(_CHUNK):
                digest.update(piece)
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read: {error.strerror or error}") from error
    if digest.hexdigest() != said["sha256"]:
        raise CheckpointError(f"{file}: is damaged: its checksum is not the recorded one")


def read_state(path: Path) -> dict[str, Any]:
    """The plain values of a checkpoint alone, verified.

    Raises:
        CheckpointError: See `read_folder`.
    """
    said = _manifest(path)["files"]["state.json"]
    _verify(path / "state.json", said)
    state: dict[str, Any] = json.loads((path / "state.json").read_bytes())
    return state


def names_in(path: Path) -> tuple[list[str], list[str]]:
    """Names of the dense tensors and of the tables of a checkpoint, which are not read.

    Raises:
        CheckpointError: The manifest is missing or damaged, or the dense part cannot be read.
    """
    files = [Path(name) for name in _manifest(path)["files"]]
    arrays = [unquote(file.name.removesuffix(".npy")) for file in files if file.suffix == ".npy"]
    try:
        with safe_open(path / "dense.safetensors", "np") as dense:
            return list(dense.keys()), [name.removesuffix("/weight") for name in arrays if name.endswith("/weight")]
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path / 'dense.safetensors'}: cannot be read: {error}") from error
