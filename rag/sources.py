"""Sources: which files are meant, and what they are called."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from easyrec.errors import DataError
from feature_generator.config import member, members
from rag.readers import FAMILY


@dataclass(frozen=True)
class Source:
    """A file.

    Attributes:
        path: Where it is.
        name: What its document is called.
        problem: Why it is not read; empty: nothing is known against it.
    """

    path: Path
    name: str
    problem: str = ""


def sources_of(
    paths: Iterable[str | os.PathLike[str]],
    under: str | os.PathLike[str] | None = None,
    skipped: Callable[[str], object] | None = None,
) -> Iterator[Source]:
    """Files, and those in folders that a reader knows, each once and in an order that does not change.

    Links to files are followed, links to folders inside of folders are not.

    Args:
        paths: Files and folders.
        under: What names are told from; default: they are the paths as they were given.
        skipped: Is told the path of each file in a folder that no reader knows.
    """
    endings = {ending for name in members(FAMILY) for ending in member(FAMILY, name).Config.endings}
    seen: set[Path] = set()
    for given in map(Path, paths):
        for path, problem in _inside(given, endings, skipped or (lambda _: None)) if given.is_dir() else [(given, "")]:
            if path not in seen:
                seen.add(path)
                yield _source(path, under, problem)


def _inside(folder: Path, endings: set[str], skipped: Callable[[str], object]) -> Iterator[tuple[Path, str]]:
    refused: list[OSError] = []
    for here, folders, files in os.walk(folder, onerror=refused.append):
        folders.sort()
        for name in sorted(files):
            if Path(name).suffix.lower() in endings:
                yield Path(here, name), ""
            else:
                skipped(_printable(Path(here, name).as_posix()))
    for error in refused:
        yield Path(error.filename), f"cannot be read: {error.strerror}"


def _source(path: Path, under: str | os.PathLike[str] | None, problem: str) -> Source:
    name = path.as_posix()
    if under is not None:
        try:
            name = path.absolute().relative_to(Path(under).absolute()).as_posix()
        except ValueError:
            problem = problem or f"is not below {under}"
    if (
        not name.isprintable()
    ):  # what a name may hold otherwise could pass for a line of a list, or cannot be written at all
        name = _printable(name)
        problem = problem or "its name has characters that are not printed: rename it"
    return Source(path, name, problem or _kind_of(path))


def _printable(name: str) -> str:
    """A name without what would not be printed."""
    return name if name.isprintable() else name.encode("unicode_escape").decode("ascii")


def _kind_of(path: Path) -> str:
    """Why something is no file."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    except ValueError:  # a name with a zero
        return "cannot be read: there is no such name"
    return "" if stat.S_ISREG(mode) else "is no ordinary file"


def lies_in(path: str | os.PathLike[str], folder: str | os.PathLike[str]) -> bool:
    """Whether a file is somewhere in a folder, by what they are called: links are not followed."""
    own, around = (Path(os.path.abspath(one)) for one in (path, folder))  # noqa: PTH100 (which follows them)
    return around in own.parents


def is_gone(path: str | os.PathLike[str]) -> bool:
    """Whether there is no such file any more; one that only cannot be looked at, or a link to nothing, is not gone."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def digest_of_file(path: Path) -> bytes:
    """Digest of a file, which need not fit into memory.

    Raises:
        DataError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
            return digest.digest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
