"""A folder of parts: one parquet file per slice, each there whole or not at all, and `_SUCCESS` when all are."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from easyrec.data.queues import Entry
from easyrec.durable import sync
from easyrec.errors import RunError

JOB, SUCCESS = "_JOB.json", "_SUCCESS"


@dataclass(frozen=True)
class Parts:
    """The folder.

    Attributes:
        folder: Where it is.
        job: Identity of the work, by what it is made of.
    """

    folder: Path
    job: Mapping[str, Any]

    @property
    def identity(self) -> str:
        """The job as one text."""
        return json.dumps(self.job, sort_keys=True)

    def prepare(self) -> None:
        """Make the folder, or check that what is there is of the same work.

        Raises:
            RunError: It holds something else, or the disk refuses.
        """
        path = self.folder / JOB
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                strange = sorted(p.name for p in self.folder.iterdir() if not p.name.startswith("."))
                if strange and not path.exists():  # another worker may just have written it
                    raise RunError(f"{self.folder} holds {strange[0]}, which no queue made: name a new folder")
                partial = self._beside(JOB)
                partial.write_text(json.dumps(self.job, indent=1, sort_keys=True) + "\n", encoding="utf-8")
                sync(partial)
                try:
                    os.link(partial, path)  # unlike a renaming it never replaces what another worker wrote
                except FileExistsError:
                    pass
                finally:
                    partial.unlink()
            found = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise RunError(f"cannot write {self.folder}: {error.strerror or error}") from error
        except ValueError as error:
            raise RunError(f"{path} is damaged: remove the folder") from error
        if found != self.job:
            other = sorted(key for key in {*found, *self.job} if found.get(key) != self.job.get(key))
            raise RunError(f"{self.folder} holds parts of other work ({', '.join(other)} differ): name a new folder")

    def renew(self, overwrite: bool) -> None:
        """Make room for work that takes no finished folder: complete parts are refused, or removed.

        Args:
            overwrite: Remove the parts that are there, of whatever work, and what tells of it.

        Raises:
            RunError: The parts are complete and `overwrite` is not wanted, or the folder holds something else.
        """
        if not self.folder.exists():
            return
        if not self.folder.is_dir():
            raise RunError(f"{self.folder} is a file: name a folder")
        if not overwrite:
            if (self.folder / SUCCESS).exists():
                raise RunError(f"{self.folder} is there already: --overwrite (overwrite=True) replaces it")
            return
        found = [path for path in self.folder.iterdir() if not path.name.startswith(".")]
        if found and not (self.folder / JOB).exists():
            raise RunError(
                f"{self.folder} holds {min(found).name} and no {JOB}: --overwrite removes only what was written so"
            )
        try:
            self.reopen()  # first: what is no longer whole must not look so
            for path in [*self.folder.glob("*.parquet"), *self.folder.glob(".*.writing")]:
                path.unlink(missing_ok=True)
            (self.folder / JOB).unlink(missing_ok=True)
        except OSError as error:
            raise RunError(f"cannot empty {self.folder}: {error.strerror or error}") from error

    def path(self, slice: str) -> Path:
        """Where the part of a slice belongs."""
        return self.folder / f"{slice}.parquet"

    def partial(self, slice: str) -> Path:
        """A name for a part that is being written, of this attempt alone."""
        return self._beside(f"{slice}.parquet")

    def begin(self, slice: str) -> Path:
        """Leave a mark that a slice was begun, for the one who began it to remove: that of a killed worker stays."""
        mark = self._beside(f"{slice}.parquet.begun")
        mark.touch()
        return mark

    def begun(self, slice: str) -> int:
        """How often a slice was begun and not ended."""
        return sum(1 for _ in self.folder.glob(f".{slice}.parquet.begun.*"))

    def tidy(self) -> None:
        """Remove what killed workers left of parts; nobody else may be at work."""
        for left in self.folder.glob(".*.parquet.*.writing"):
            left.unlink(missing_ok=True)

    def rows(self, slice: str) -> int | None:
        """Number of rows of a part that is there and whole."""
        try:
            rows: int = pq.read_metadata(self.path(slice)).num_rows
        except (OSError, pa.ArrowException):
            return None
        return rows

    def publish(self, slice: str, partial: Path) -> None:
        """Let a written part appear.

        Raises:
            RunError: The disk refuses.
        """
        try:
            sync(partial)
            partial.replace(self.path(slice))
            sync(self.folder)
        except OSError as error:
            raise RunError(f"cannot write {self.path(slice)}: {error.strerror or error}") from error

    def reopen(self) -> None:
        """Take `_SUCCESS` away: there is more to do."""
        (self.folder / SUCCESS).unlink(missing_ok=True)

    def missing(self, slices: Sequence[str]) -> list[str]:
        """Slices whose part is not there."""
        there = {path.name for path in self.folder.iterdir()}
        return [slice for slice in slices if self.path(slice).name not in there]

    def conclude(self, entries: Sequence[Entry]) -> int:
        """Check that every row is there once, and write `_SUCCESS`; gives the number of rows.

        Args:
            entries: All slices, done, with the numbers of rows that their workers counted.

        Raises:
            RunError: A part is missing, is damaged, has other rows than were counted, or is of no slice.
        """
        wanted = {self.path(entry.slice).name for entry in entries}
        strange = sorted({path.name for path in self.folder.glob("*.parquet") if path.name[0] not in "._"} - wanted)
        wrong = [f"{name} is of no slice" for name in strange]
        counts: dict[str, int] = {}
        for entry in entries:
            rows, name = self.rows(entry.slice), self.path(entry.slice).name
            if rows is None:
                wrong.append(f"{name} is {'damaged' if self.path(entry.slice).exists() else 'missing'}")
            elif rows != entry.rows:
                wrong.append(f"{name} has {rows} rows, but its worker counted {entry.rows}")
            else:
                counts[entry.slice] = rows
        if wrong:
            more = f", and {len(wrong) - 5} more" if len(wrong) > 5 else ""
            hint = "remove what is wrong and start again: only that is made anew"
            raise RunError(f"{self.folder}: {'; '.join(wrong[:5])}{more}; {hint}")
        total = sum(counts.values())
        self._succeed({"slices": len(counts), "rows": total, "parts": counts, "job": self.job})
        return total

    def _succeed(self, content: Mapping[str, Any]) -> None:
        partial = self._beside(SUCCESS)  # several workers may find the work done at once
        try:
            self.tidy()
            partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
            sync(partial)
            partial.replace(self.folder / SUCCESS)
            sync(self.folder)
        except OSError as error:
            raise RunError(f"cannot write {self.folder / SUCCESS}: {error.strerror or error}") from error

    def _beside(self, name: str) -> Path:
        return self.folder / f".{name}.{secrets.token_hex(8)}.writing"
