"""The items of a model's catalogue: read from files, changed by requests, the same in every process of a server.

Each process reads the files on its own. A change is written to the end of a journal that all of them follow; whoever
starts later, or loads another bundle, lays over the files what was changed after they were written.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.dataset as ds

from easyrec.errors import DataError
from feature_generator.errors import FeatureGeneratorError
from feature_generator.feed import find_files
from serving.catalogue import Catalogue
from serving.predictor import Predictor
from serving.server.config import CatalogueConfig, ItemSource
from serving.server.events import tell

SUFFIXES = {
    "parquet": (".parquet", ".pq"),
    "csv": (".csv",),
    "arrow": (".arrow", ".feather"),
    "json": (".json", ".jsonl"),
}
"""Files of a folder that are read, by format."""
OLD_BYTES = 1 << 20
"""A journal of which so much is older than the files is written anew."""


@dataclass(frozen=True)
class _Files:
    """The files of a source at a moment.

    Attributes:
        paths: They, sorted.
        state: Their sizes and times; another one means that they were written anew.
        written: The time of the latest, by the file system's clock.
    """

    paths: list[str]
    state: tuple[tuple[str, int, int], ...]
    written: float


class Items:
    """What fills the catalogues of a model. Its methods run in one thread.

    Args:
        config: The catalogue's.
        journal: The file that the processes of the server share.
        columns: Whether the items' columns are kept too, as a request log wants them.
    """

    def __init__(self, config: CatalogueConfig, journal: Path, *, columns: bool = False) -> None:
        self.config, self._journal, self._columns = config, journal, columns
        self._files = _Files([], (), 0.0)
        self._place = (0, 0)  # which file the journal was, and how far it was read
        self._looked, self._begun = time.monotonic(), False

    def catalogue(self, predictor: Predictor) -> Catalogue:
        """The catalogue of a bundle that is being loaded.

        Raises:
            DataError: The source cannot be read, or an item cannot be taken; names file or row.
        """
        files, kept = self._find(), self.config
        rows = None if kept.source is None else self._rows(files, predictor)
        made = Catalogue(predictor, rows, key=kept.key, asked=kept.asked, ahead=kept.ahead, columns=self._columns)
        lines, place = self._lines((0, 0))
        self._lay_over([made], _newer(lines, files))
        if not self._begun:  # else there are catalogues that were filled before, and have followed less
            self._begun, self._files, self._place = True, files, place
        return made

    def change(self, catalogues: Sequence[Catalogue], upsert: Sequence[Any], remove: Sequence[Any]) -> tuple[int, int]:
        """Change the catalogues, and have the other processes do so.

        Args:
            catalogues: Those of the model's bundles, as far as they are open.
            upsert: Items as mappings.
            remove: Keys.

        Returns:
            How many items were upserted, and removed from the first catalogue.

        Raises:
            DataError: An item or a key cannot be taken; then nothing is changed.
        """
        changes = [one.prepared(list(upsert)) for one in catalogues if upsert]
        for one in catalogues:
            one.check_keys(list(remove))
        with self._locked():
            self._follow(catalogues)
            with self._journal.open("ab") as file:
                file.write(orjson.dumps({"at": time.time(), "upsert": upsert, "remove": remove}) + b"\n")
                self._place = (os.fstat(file.fileno()).st_ino, file.tell())
            for change in changes:
                change()
            removed = [one.remove(list(remove)) for one in catalogues if remove]
        return len(upsert), removed[0] if removed else 0

    def watch(self, catalogues: Sequence[Catalogue]) -> str:
        """Follow the others' changes, and read the source anew where it was written anew and it is time to look.

        Returns:
            `read` where it was, `refused` where it could not be, else an empty text.
        """
        with self._locked():
            self._follow(catalogues)
        if self.config.source is None or not self.config.refresh_s:
            return ""
        if time.monotonic() - self._looked < self.config.refresh_s:
            return ""
        self._looked = time.monotonic()
        former = self._files
        try:
            self._files = self._find()
            if self._files.state == former.state:
                return ""
            for one in catalogues:
                one.replace(self._rows(self._files, one.predictor))
            with self._locked():
                lines, self._place = self._lines((0, 0))
                self._lay_over(catalogues, _newer(lines, self._files))
                self._forget_older(lines)
        except (FeatureGeneratorError, OSError) as error:
            self._files = former  # it is tried again
            tell(logging.ERROR, "the items of a catalogue could not be read again", why=str(error))
            return "refused"
        return "read"

    # ---------------------------------------------------------------------------------------------- journal

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._journal.with_suffix(".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _follow(self, catalogues: Sequence[Catalogue]) -> None:
        lines, self._place = self._lines(self._place)
        try:
            self._lay_over(catalogues, _newer(lines, self._files))
        except FeatureGeneratorError as error:
            tell(logging.ERROR, "a change of a catalogue could not be followed", why=str(error))

    def _lines(self, place: tuple[int, int]) -> tuple[list[dict[str, Any]], tuple[int, int]]:
        """The whole lines of the journal behind a place, and the place behind them."""
        try:
            with self._journal.open("rb") as file:
                number = os.fstat(file.fileno()).st_ino
                start = place[1] if place[0] == number else 0
                file.seek(start)
                text = file.read()
        except FileNotFoundError:
            return [], (0, 0)
        whole = text[: text.rfind(b"\n") + 1]
        return [orjson.loads(line) for line in whole.splitlines()], (number, start + len(whole))

    def _lay_over(self, catalogues: Sequence[Catalogue], lines: Sequence[Mapping[str, Any]]) -> None:
        """What all the lines make of the items, in one step: of each item the last line counts."""
        last: dict[str, Any] = {}
        for line in lines:
            last |= {str(row[self.config.key]): row for row in line["upsert"]}
            last |= {str(key): None for key in line["remove"]}
        if not last:
            return
        rows, gone = [row for row in last.values() if row is not None], [k for k, row in last.items() if row is None]
        for one in catalogues:
            if rows:
                one.upsert(rows)
            if gone:
                one.remove(gone)

    def _forget_older(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Write the journal anew where most of it is in the files by now."""
        newer = [orjson.dumps(line) + b"\n" for line in _newer(lines, self._files)]
        size = sum(map(len, newer))
        if self._place[1] - size < OLD_BYTES:
            return
        written = self._journal.with_suffix(f".{os.getpid()}")
        written.write_bytes(b"".join(newer))
        self._place = (written.stat().st_ino, size)
        written.replace(self._journal)

    # ----------------------------------------------------------------------------------------------- source

    def _find(self) -> _Files:
        source = self.config.source
        if source is None:
            return _Files([], (), 0.0)
        try:
            stats = [(path, path.stat()) for path in source_files(source)]
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}", file=str(error.filename)) from None
        state = tuple((str(path), stat.st_size, stat.st_mtime_ns) for path, stat in stats)
        return _Files([str(path) for path, _ in stats], state, max(stat.st_mtime for _, stat in stats))

    def _rows(self, files: _Files, predictor: Predictor) -> pa.Table:
        source = self.config.source
        assert source is not None
        return read_items(files.paths, source.format, [self.config.key, *predictor.generator.needs("item")])


def _newer(lines: Iterable[Mapping[str, Any]], files: _Files) -> list[Mapping[str, Any]]:
    """The changes that cannot be in the files, as these were written before."""
    return [line for line in lines if line["at"] > files.written]


def source_files(source: ItemSource) -> list[Path]:
    """The files of a source, sorted.

    Raises:
        DataError: There is none.
    """
    folder = Path(source.path)
    if not folder.is_dir():
        return find_files(source.path)
    found = sorted(path for path in folder.rglob("*") if path.name.endswith(SUFFIXES[source.format]))
    if not found:
        raise DataError(f"the folder holds no {source.format} file", file=source.path)
    return found


def read_items(paths: Sequence[str], kind: str, columns: Sequence[str]) -> pa.Table:
    """Those of the columns that files hold.

    Raises:
        DataError: A file cannot be read.
    """
    try:
        held = ds.dataset(list(paths), format=kind)
        wanted = {name for column in columns for name in (column, column.partition("__")[0])}
        return held.to_table(columns=[name for name in held.schema.names if name in wanted])
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"cannot be read: {str(error).splitlines()[0][:300]}", file=paths[0]) from None
