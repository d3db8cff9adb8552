"""Files behind a path, a glob, a folder or a list of them, on any file system that fsspec knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import fsspec
from fsspec.implementations.local import LocalFileSystem

from easyrec.errors import DataError


@dataclass(frozen=True)
class File:
    """One file.

    Attributes:
        name: Path with its protocol, as people write it.
        path: Path on `system`.
        system: File system that holds it.
        size: Bytes.
        partitions: Texts by partition, as its folders tell them.
    """

    name: str
    path: str
    system: Any
    size: int
    partitions: Mapping[str, str] = field(default_factory=dict)

    @property
    def local(self) -> bool:
        """Whether `path` is a path of this machine."""
        return isinstance(self.system, LocalFileSystem)

    def open(self) -> BinaryIO:
        """The file's bytes, from its start."""
        opened: BinaryIO = self.system.open(self.path, "rb")
        return opened


def file_system(url: str, options: Mapping[str, Any]) -> tuple[Any, str]:
    """The file system that a URL names, and the path on it."""
    system, path = fsspec.core.url_to_fs(url, **options)
    if "webhdfs" in system.protocol:
        _heed_data_nodes(system)
    return system, path


def _heed_data_nodes(system: Any) -> None:
    """Let what a DataNode says of a failure be an error: fsspec would take it for the file's bytes."""
    hooks = system.session.hooks["response"]
    if not any(getattr(hook, "heeds", False) for hook in hooks):

        def heed(response: Any, **_: Any) -> None:
            if response.status_code >= 400 and not response.url.startswith(system.url):
                response.raise_for_status()

        heed.heeds = True  # type: ignore[attr-defined]  # so that it is hung up once
        hooks.append(heed)


def list_files(
    paths: str | Sequence[str], suffixes: Sequence[str], options: Mapping[str, Any], *, missing_ok: bool = False
) -> list[File]:
    """The files of all `paths`, each path's files sorted by name.

    Args:
        paths: Files, folders or globs, tried in this order; a folder stands for all files below it that end in one of `suffixes`.
        suffixes: Ends of names, e.g. `.parquet`.
        options: Options of the file system, as fsspec takes them.
        missing_ok: Whether a path may lead to no file.

    Raises:
        DataError: A path leads to no file, or its file system cannot be reached.
    """
    files: list[File] = []
    for pattern in [paths] if isinstance(paths, str) else paths:
        try:
            system, path = file_system(pattern, options)
            found = _find(system, path, suffixes)
        except (ImportError, OSError, ValueError, RuntimeError) as error:
            raise DataError(f"cannot be listed: {error}", file=pattern) from None
        if not found and not missing_ok:
            magic = any(c in pattern for c in "*?[")
            told = "no file matches this pattern" if magic else "there is no such file"
            if not magic and system.isdir(path):
                told = f"the folder holds no file *{', *'.join(suffixes)}"
            raise DataError(told, file=pattern)
        prefix = pattern.split("://", 1)[0] + "://" if "://" in pattern else ""
        local = isinstance(system, LocalFileSystem)
        shown = pattern.removeprefix("file://").removeprefix("local://")
        # fsspec makes local paths absolute; people know them as they wrote them
        root = path[: len(path) - len(shown)] if local and path.endswith(shown) else ""
        files += [
            File(
                p[len(root) :] if local and root and p.startswith(root) else ("" if local else prefix) + p, p, system, n
            )
            for p, n in found
        ]
    return files


def _find(system: Any, path: str, suffixes: Sequence[str]) -> list[tuple[str, int]]:
    known = _info(system, path)
    if known is None and any(c in path for c in "*?["):  # what is called so is meant, not matched
        found = system.glob(path, detail=True)
    elif known is None:
        return []
    elif known["type"] == "directory":
        found = {
            p: info
            for p, info in system.find(path, detail=True).items()
            if p.endswith(tuple(suffixes)) and not aside(p[len(path) :])
        }
    else:
        found = {path: known}
    return sorted((p, int(info.get("size") or 0)) for p, info in found.items() if info["type"] == "file")


def _info(system: Any, path: str) -> Any:
    """What the file system says of a path, None where there is nothing; `exists` would say so of one that gives no answer."""
    try:
        return system.info(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def aside(path: str) -> bool:
    """Whether a file, or a folder that it lies in, is one that is put aside, such as `_temporary` and `.staging`."""
    return any(part.startswith((".", "_")) and "=" not in part for part in path.split("/"))
