"""`record`: what several processes write into one folder as it happens, JSON lines in files that are whole once they are there.

Files are called `<prefix>-<writer>-<number>.jsonl`, or `<prefix>-<time>-<writer>-<number>.jsonl` as an engine calls them. Files that are
still written to are called otherwise (an ending behind it, or a dot in front) until they are renamed. Of one writer they are read in the order of
their names; one that comes behind others of greater names, as where a clock was set back, is read all the same.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate, islice
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from easyrec.errors import DataError
from easyrec.stream.decode import decode_json
from easyrec.stream.sources import Events, EventSource, Malformed, Offset, SourceConfig

LOOK_S = 0.2
"""How often the folder is looked at while nothing comes."""
REMEMBERED = 64
"""Files of each writer that are known to be read; what is called less than the first of them was read too."""
STAMP = r"\d{8}T\d{6}(?:\.\d+)?-"


class Config(SourceConfig):
    """Config of `record`."""

    type: Literal["record"] = "record"
    path: str = Field(min_length=1)
    """The folder. It may come later than its reader."""
    prefix: str = Field(pattern=r"^[A-Za-z0-9_]+$")
    """How names of its files begin: `exposures`, `events`."""
    inner: str | None = Field(None, min_length=1)
    """A member of each line whose own members count as columns, where the line has none of that name."""

    def open(self, schema: pa.Schema, *, until_end: bool = False) -> RecordEvents:
        """See the family's contract."""
        return RecordEvents(Path(self.path), self.prefix, self.inner, schema, until_end=until_end)


class RecordEvents(EventSource):
    """Events of a folder; a writer is a partition, and an offset is a file's name, a byte in it, and the files before.

    The file that was finished first is read first, so that what writers did at one time comes at about one time.

    Args:
        folder: Where files appear.
        prefix: How their names begin.
        inner: See the config.
        schema: Columns that are asked for.
        until_end: Whether to end where the files end now.
        clock: Seconds that never run backwards.
        wait: Lets so many seconds pass.
    """

    def __init__(
        self,
        folder: Path,
        prefix: str,
        inner: str | None,
        schema: pa.Schema,
        *,
        until_end: bool = False,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self.shown, self.schema = f"{folder}/{prefix}-*.jsonl", schema
        self._folder, self._inner, self._until_end = folder, inner, until_end
        self._form = re.compile(rf"^{re.escape(prefix)}-(?:{STAMP})?(?:(?P<writer>.+)-)?[^-]+\.jsonl$")
        self._glob = f"{prefix}-*.jsonl"
        self._places: dict[str, tuple[str, int]] = {}
        self._done: dict[str, list[str]] = {}  # by writer: the last files that were read, ascending
        self._waiting: dict[str, list[tuple[str, int, int]]] = {}  # by writer: name, time of its end, bytes
        self._partitions: dict[str, None] = {}
        self._pieces: Iterator[Events] | None = None
        self._most, self._looked, self._clock, self._wait = 0, float("-inf"), clock, wait
        self._look()

    @property
    def partitions(self) -> Sequence[str]:
        """Writers of which something was there since this was opened: others have ended."""
        return list(self._partitions)

    @property
    def ended(self) -> bool:
        """Whether all was read; never, where more may come."""
        return self._until_end and self._pieces is None and not any(self._waiting.values())

    def seek(self, offsets: Mapping[str, Offset]) -> None:
        """See the contract."""
        self._places = {writer: (str(name), int(place)) for writer, (name, place, _) in offsets.items()}
        self._done = {writer: list(done) for writer, (_, _, done) in offsets.items()}
        self._pieces, self._waiting, self._partitions = None, {}, {}
        self._look()

    def poll(self, most: int, seconds: float) -> list[Events]:
        """See the contract."""
        end = self._clock() + seconds
        while True:
            if self._pieces is not None:
                found = next(self._pieces, None)
                if found is not None:
                    return [found]
                self._pieces = None
            if self._open(most):
                continue
            left = end - self._clock()
            if self._until_end or left <= 0:
                if not self._until_end and self._clock() - self._looked >= LOOK_S:
                    self._look()
                    if any(self._waiting.values()):
                        continue
                return []
            self._wait(min(left, LOOK_S))
            self._look()

    def backlog(self) -> int | None:
        """How many events wait is not counted; see `backlog_bytes`."""
        return None

    def backlog_bytes(self) -> int:
        """Bytes of finished files that wait to be read."""
        places = self._places
        return sum(
            size - (places[writer][1] if places.get(writer, ("", 0))[0] == name else 0)
            for writer, files in self._found().items()
            for name, _, size in files
        )

    def close(self) -> None:
        """Close the file."""
        self._pieces = None

    # ------------------------------------------------------------------------------------------- inside

    def _look(self) -> None:
        """Find files that were finished."""
        self._looked = self._clock()
        self._waiting = self._found()
        self._partitions |= dict.fromkeys(sorted(self._waiting))

    def _found(self) -> dict[str, list[tuple[str, int, int]]]:
        """By writer the files of which something was not read: name, time of its end, and bytes."""
        found: dict[str, list[tuple[str, int, int]]] = {}
        for path in self._folder.glob(self._glob):
            form = self._form.match(path.name)
            if form is None:
                continue
            writer = form["writer"] or ""
            begun, place = self._places.get(writer, ("", 0))
            if self._is_read(writer, path.name):
                continue
            try:
                status = path.stat()
            except FileNotFoundError:  # removed in between
                continue
            if path.name != begun or place < status.st_size:
                found.setdefault(writer, []).append((path.name, status.st_mtime_ns, status.st_size))
        return {writer: sorted(files) for writer, files in found.items()}

    def _is_read(self, writer: str, name: str) -> bool:
        done = self._done.get(writer, [])
        return name in done or (len(done) == REMEMBERED and name < done[0])

    def _open(self, most: int) -> bool:
        """Begin the file that was finished first of those that come next; False where there is none."""
        heads = [(files[0][1], writer) for writer, files in self._waiting.items() if files]
        if not heads:
            return False
        _, writer = min(heads)
        name, _, _ = self._waiting[writer].pop(0)
        self._pieces = self._read(writer, name, most)
        return True

    def _read(self, writer: str, name: str, most: int) -> Iterator[Events]:
        begun, place = self._places.get(writer, ("", 0))
        done = self._done.setdefault(writer, [])
        if name != begun:
            place = 0
            if begun:
                done = self._done[writer] = sorted({*done, begun})[-REMEMBERED:]
        path = self._folder / name
        try:
            with path.open("rb") as file:
                file.seek(place)
                while lines := list(islice(file, most)):
                    rows, left_out = self._decoded(lines)
                    starts = [0, *accumulate(map(len, lines))]
                    malformed = [
                        Malformed(
                            f"{path}, byte {place + starts[at]}", reason, lines[at].decode(errors="replace").rstrip()
                        )
                        for at, reason in left_out
                        if not lines[at].isspace()  # a blank line is nothing
                    ]
                    place += starts[-1]
                    self._places[writer] = (name, place)
                    yield Events(writer, rows, [name, place, done], None, malformed)
        except FileNotFoundError:
            raise DataError("was removed before it was read", file=str(path)) from None
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"cannot be read: {str(error).splitlines()[0][:200]}", file=str(path)) from None

    def _decoded(self, lines: Sequence[bytes]) -> tuple[pa.RecordBatch, list[tuple[int, str]]]:
        if self._inner is None:
            return decode_json(lines, self.schema)
        inner = pa.field(self._inner, pa.struct(list(self.schema)))
        rows, left_out = decode_json(lines, pa.schema([*self.schema, inner]))
        held = rows.column(self._inner)
        columns = [_first(rows.column(field.name), held, field.name) for field in self.schema]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema), left_out


def _first(outer: pa.Array, held: pa.StructArray, name: str) -> pa.Array:
    """The values of a line, and where it has none those of its inner member."""
    if not outer.null_count:
        return outer
    inside = pc.struct_field(held, name)
    return inside if outer.null_count == len(outer) else pc.coalesce(outer, inside)
