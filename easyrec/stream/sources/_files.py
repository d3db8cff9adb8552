"""Files of events, one behind another in the order of their names: what is replayed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pyarrow as pa

from easyrec.errors import DataError
from easyrec.stream.sources import Events, EventSource, Malformed, Offset

PARTITION = "files"


@dataclass(frozen=True)
class Piece:
    """Rows of a file.

    Attributes:
        rows: The columns that were asked for.
        place: Behind them: rows, or bytes.
        malformed: What could not be read among them.
        locate: Where a row lies.
    """

    rows: pa.RecordBatch
    place: int
    malformed: Sequence[Malformed] = ()
    locate: Callable[[int], str] | None = None


class FileEvents(EventSource):
    """Events in files. An offset is a file's name and a place in it; files that come later by name may be added.

    Attributes:
        unit: What places count.

    Args:
        path: A file, a folder or a glob.
        ending: Of the files of a folder.
        schema: Columns that are asked for.

    Raises:
        DataError: There is no such file.
    """

    unit = "bytes"

    def __init__(self, path: str, ending: str, schema: pa.Schema) -> None:
        self.shown, self.schema = path, schema
        self._files = _found(path, ending)
        self._pieces: Iterator[Events] | None = None
        self._place: tuple[str, int] = ("", 0)
        self._ended = False
        self._most = 0

    @abstractmethod
    def read(self, file: Path, place: int, most: int) -> Iterator[Piece]:
        """The rows of a file from a place on, about `most` at a time.

        Raises:
            DataError: It cannot be read.
        """

    @property
    def partitions(self) -> Sequence[str]:
        """One: files have one order."""
        return (PARTITION,)

    @property
    def ended(self) -> bool:
        """Whether the last file was read."""
        return self._ended

    def seek(self, offsets: Mapping[str, Offset]) -> None:
        """See the contract."""
        if PARTITION in offsets:
            name, place = offsets[PARTITION]
            self._place = (name, place)
        self._pieces, self._ended = None, False

    def poll(self, most: int, seconds: float) -> list[Events]:
        """See the contract; there is nothing to wait for."""
        if self._pieces is None or most != self._most:
            self._pieces, self._most = self._read(most), most
        found = next(self._pieces, None)
        if found is None:
            self._ended = True
            return []
        return [found]

    def _read(self, most: int) -> Iterator[Events]:
        for file in self._files:
            name = file.name
            if name < self._place[0]:
                continue
            start = self._place[1] if name == self._place[0] else 0
            try:
                self._refuse_shorter(file, start)
                for piece in self.read(file, start, most):
                    self._place = (name, piece.place)
                    yield Events(PARTITION, piece.rows, [name, piece.place], None, piece.malformed, piece.locate)
            except (OSError, pa.ArrowException) as error:
                raise DataError(f"cannot be read: {str(error).splitlines()[0][:200]}", file=str(file)) from None

    def _refuse_shorter(self, file: Path, place: int) -> None:
        """Check that what was read of a file is still in it.

        Raises:
            DataError: It is shorter, so that it is another one, whose first events would be passed over.
        """
        there = self.length(file) if place else 0
        if there < place:
            told = f"{place:,} {self.unit} were read of it, but now it has {there:,}: it is another file"
            raise DataError(f"{told}; name new files so that they follow those that were read", file=str(file))

    @abstractmethod
    def length(self, file: Path) -> int:
        """How far a file goes, as places are counted."""

    def backlog(self) -> int | None:
        """How much is left of files is not counted."""
        return None

    def close(self) -> None:
        """Close the file."""
        self._pieces = None


def _found(path: str, ending: str) -> list[Path]:
    place = Path(path)
    if place.is_dir():
        files = list(place.glob(f"*{ending}"))
    elif place.is_file():
        files = [place]
    else:
        root = Path(place.anchor)
        files = list(root.glob(str(place.relative_to(root))))
    if not files:
        told = f"the folder holds no file *{ending}" if place.is_dir() else "there is no such file"
        raise DataError(told, file=path)
    files.sort(key=lambda file: file.name)
    for one, other in pairwise(files):
        if one.name == other.name:
            raise DataError(f"two files are called '{one.name}': an offset would not tell them apart", file=path)
    return files
