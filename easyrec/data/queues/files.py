"""`files`: a queue in a folder that all workers see, on one machine or on a shared file system.

Each slice is one empty file, and its name says all: `00003~7~1~leased~<token>~60000~<worker>` is slice 00003 after 7
changes, taken once. A change is a rename, which succeeds for one process alone: whoever knows the former name. So there
are no locks, and no clocks of others: renewing is a rename too, and a worker counts as dead when its file has had
the same name for the lease's seconds on the watcher's own monotonic clock.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any, Literal

from easyrec.data.queues import STATES, Entry, Idle, Lease, QueueConfig, State, Status, WorkQueue, expanded, silent
from easyrec.durable import sync
from easyrec.errors import QueueError

FORMAT = 1
LOOKS = 50
"""A listing during renames may lack a file or show it twice; so often it is taken anew before the queue is damaged."""


class Config(QueueConfig):
    """Config of `files`."""

    type: Literal["files"] = "files"
    path: str
    """The folder; it is made where it is not there."""

    @classmethod
    def of_uri(cls, uri: str, options: Mapping[str, str]) -> dict[str, Any]:
        """A path, or `files:` or `file:` before one; `file:///x` is `/x`."""
        del options
        return {"path": re.sub(r"^files?:(//(?=/))?", "", uri)}

    def open(self, epoch: int = 0) -> WorkQueue:
        """The queue of an epoch."""
        return FilesQueue(Path(expanded(self.path)), self.name, epoch)


@dataclass(frozen=True)
class _File:
    """What a file's name says."""

    slice: str
    changes: int
    attempts: int
    state: State
    token: str = ""
    number: int = 0  # milliseconds of a lease, rows of what is done
    worker: str = ""

    @property
    def name(self) -> str:
        head = f"{self.slice}~{self.changes}~{self.attempts}~{self.state}"
        return f"{head}~{self.token}~{self.number}~{self.worker}" if self.token else head

    def to(self, state: State, attempts: int, token: str = "", number: int = 0, worker: str = "") -> _File:
        """The file after a change."""
        return _File(self.slice, self.changes + 1, attempts, state, token, number, worker)


class FilesQueue(WorkQueue):
    """A queue in a folder.

    Args:
        root: Folder of queues.
        name: Of this queue.
        epoch: Which of its epochs.
        clock: Monotonic seconds of this process.
    """

    def __init__(self, root: Path, name: str, epoch: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder, self.clock = root / f"{name}-{epoch}", clock
        self.entries, self.shown = self.folder / "entries", f"{self.folder}"
        self._lock = RLock()
        self._seen: dict[str, tuple[str, float]] = {}  # slice -> name of its leased file, and since when
        self._own: dict[str, _File] = {}  # token -> its file, as this process left it
        self._content: dict[str, Any] | None = None

    def _create(self, job: str, slices: list[str], attempts: int) -> tuple[str, list[str]] | None:
        with self._lock, self._told():
            if not self.folder.exists():
                made = self.folder.with_name(f".{self.folder.name}.{secrets.token_hex(8)}")
                try:
                    (made / "entries").mkdir(parents=True)
                    (made / "reasons").mkdir()
                    content: dict[str, Any] = {"format": FORMAT, "job": job, "attempts": attempts, "slices": slices}
                    (made / "queue.json").write_text(json.dumps(content), encoding="utf-8")
                    for slice in slices:
                        (made / "entries" / _File(slice, 0, 0, "waiting").name).touch()
                    for path in (made / "queue.json", made / "entries", made):
                        sync(path)
                    made.rename(self.folder)  # fails where another process was first: its folder is not empty
                    sync(self.folder.parent)
                    return None
                except OSError:
                    if not self.folder.exists():
                        raise
                finally:
                    shutil.rmtree(made, ignore_errors=True)
            self._content = None
            content = self._read()
            return content["job"], content["slices"]

    def lease(self, worker: str, seconds: float) -> Lease | Idle:
        """Take a slice by renaming its file; see the family's contract."""
        look = 0
        while True:
            with self._lock, self._told():
                found = self._take(worker, seconds)
            if found is not None:
                return found
            look += 1
            if look > 2:  # a network's listing may lag behind; others may be faster, again and again
                time.sleep(min(0.01 * look, 1.0))

    def renew(self, lease: Lease) -> None:
        """Rename the file, so that everyone sees that it changed."""
        with self._lock, self._told():
            file = self._held(lease)
            if file.state != "leased":
                raise self.lost(lease)
            renewed = file.to("leased", file.attempts, file.token, file.number, file.worker)
            self._change(lease, file, renewed)
            self._keep(renewed)

    def complete(self, lease: Lease, rows: int) -> None:
        """See the family's contract."""
        with self._lock, self._told():
            file = self._held(lease)
            if file.state == "leased":
                self._change(lease, file, file.to("done", file.attempts, file.token, rows, file.worker))

    def fail(self, lease: Lease, reason: str) -> None:
        """See the family's contract."""
        with self._lock, self._told():
            file = self._held(lease)
            if file.state != "leased":
                raise self.lost(lease)
            self._reason(file, reason)
            last = file.attempts >= self._read()["attempts"]
            self._change(lease, file, file.to("failed" if last else "waiting", file.attempts))

    def release(self, lease: Lease) -> None:
        """See the family's contract."""
        with self._lock, self._told():
            file = self._held(lease)
            if file.state != "leased":
                raise self.lost(lease)
            self._change(lease, file, file.to("waiting", file.attempts - 1))

    def again(self, slices: Sequence[str]) -> None:
        """See the family's contract."""
        wanted = set(slices)
        with self._lock, self._told():
            for file in self._scan():
                if file.slice in wanted and file.state in ("done", "failed"):
                    self._move(file, file.to("waiting", 0))

    def status(self) -> Status:
        """See the family's contract."""
        with self._lock, self._told():
            content = self._read()
            entries = [self._entry(file) for file in self._scan()]
            return Status(content["job"], content["attempts"], entries)

    def remove(self) -> None:
        """Remove the folder of this queue."""
        with self._lock, self._told():
            if self.folder.exists():
                gone = self.folder.with_name(f".{self.folder.name}.{secrets.token_hex(8)}")
                self.folder.rename(gone)  # at once: nobody meets half of it
                shutil.rmtree(gone, ignore_errors=True)
            self._content = None

    # ------------------------------------------------------------------------------------------- inside

    def _take(self, worker: str, seconds: float) -> Lease | Idle | None:
        """What a look at the folder leads to; None where it has changed meanwhile."""
        most, files, changed = self._read()["attempts"], self._scan(), False
        for file in self._candidates(files):
            if file.attempts >= most:  # of what is leased alone: its worker fell silent at the last attempt
                self._reason(file, silent(file.worker, file.number / 1000))
                self._move(file, file.to("failed", file.attempts))
                changed = True
                continue
            token = secrets.token_hex(8)
            taken = file.to("leased", file.attempts + 1, token, round(seconds * 1000), _word(worker))
            if self._move(file, taken):
                self._keep(taken)
                with _ignored():  # people see since when; nothing is decided by it
                    os.utime(self.entries / taken.name)
                return Lease(file.slice, token, taken.attempts, seconds, worker)
            changed = True
        if changed:
            return None
        return Idle.DONE if all(file.state in ("done", "failed") for file in files) else Idle.WAIT

    def _read(self) -> dict[str, Any]:
        """The content of `queue.json`, which never changes."""
        if self._content is not None:
            if not self.entries.exists():
                raise self.gone()
            return self._content
        path = self.folder / "queue.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            found = (content["format"], str(content["job"]), list(content["slices"]), int(content["attempts"]))
        except FileNotFoundError:
            if self.folder.exists():
                raise self.damaged("queue.json is missing") from None
            raise self.gone() from None
        except (ValueError, KeyError, TypeError):
            raise self.damaged("queue.json cannot be read") from None
        if found[0] != FORMAT:
            raise QueueError(f"{self.shown} was made by another version of this program (format {found[0]})")
        self._content = dict(content)
        return self._content

    def _scan(self) -> list[_File]:
        """The file of every slice, in order; also notes since when leased files have their names."""
        slices: list[str] = self._read()["slices"]
        missing = twice = ""
        for look in range(LOOKS):
            if look:
                time.sleep(0.01)
            files, twice = self._listed(set(slices))
            missing = next((name for name in slices if name not in files), "")
            if not missing and not twice:
                found = [files[name] for name in slices]
                self._watch(found)
                return found
            if not self.entries.exists():
                raise self.gone()
        raise self.damaged(f"the entry of slice '{missing or twice}' is {'missing' if missing else 'there twice'}")

    def _listed(self, slices: set[str]) -> tuple[dict[str, _File], str]:
        """The newest file of every slice that a listing shows, and a slice of which an older one is there too."""
        files: dict[str, _File] = {}
        older: list[_File] = []
        try:
            names = os.listdir(self.entries)  # noqa: PTH208 (names alone, a hundred thousand of them)
        except FileNotFoundError:
            raise self.gone() from None
        for name in names:
            if name.startswith("."):  # what a file system leaves behind
                continue
            file = self._parsed(name)
            if file.slice not in slices:
                raise self.damaged(f"entries/{name} is of no slice of this work")
            known = files.get(file.slice)
            if known is not None:
                older.append(min(file, known, key=lambda f: f.changes))
            files[file.slice] = file if known is None else max(file, known, key=lambda f: f.changes)
        return files, next((file.slice for file in older if (self.entries / file.name).exists()), "")

    def _parsed(self, name: str) -> _File:
        parts = name.split("~")
        try:
            slice, changes, attempts, state, *rest = parts
            if state not in STATES or len(rest) != (3 if state in ("leased", "done") else 0):
                raise ValueError(name)
            token, number, worker = rest or ("", "0", "")
            file = _File(slice, int(changes), int(attempts), state, token, int(number), worker)
        except ValueError:
            raise self.damaged(f"entries/{name} is no entry of a queue") from None
        return file

    def _watch(self, files: list[_File]) -> None:
        now = self.clock()
        for file in files:
            if file.state == "leased" and self._seen.get(file.slice, ("", 0.0))[0] != file.name:
                self._seen[file.slice] = file.name, now

    def _keep(self, file: _File) -> None:
        self._own[file.token] = file
        self._seen[file.slice] = file.name, self.clock()

    def _candidates(self, files: list[_File]) -> list[_File]:
        now = self.clock()
        free = [
            file for file in files if file.state == "waiting" or (file.state == "leased" and self._silent(file, now))
        ]
        return sorted(free, key=lambda file: file.attempts)  # stable: then in order

    def _silent(self, file: _File, now: float) -> bool:
        name, since = self._seen[file.slice]
        return name == file.name and now - since >= file.number / 1000

    def _held(self, lease: Lease) -> _File:
        """The file of a lease, where it is the newest one of its slice."""
        self._read()
        kept = self._own.get(lease.token)
        if kept is not None and (self.entries / kept.name).exists():
            return kept
        for file in self._scan():
            if file.token == lease.token:
                return file
        raise self.lost(lease)

    def _change(self, lease: Lease, old: _File, new: _File) -> None:
        if not self._move(old, new):
            raise self.lost(lease)
        self._own.pop(lease.token, None)

    def _move(self, old: _File, new: _File) -> bool:
        """Whether this process made the change, rather than another one before it."""
        try:
            (self.entries / old.name).rename(self.entries / new.name)
        except FileNotFoundError:
            # Over a network a rename may be done and its answer lost: then the new name, which is ours, is there.
            return bool(new.token) and (self.entries / new.name).exists()
        return True

    def _reason(self, file: _File, text: str) -> None:
        path = self.folder / "reasons" / file.slice
        partial = path.with_name(f".{file.slice}.{secrets.token_hex(8)}")
        with _ignored():  # a full disk must not keep a slice from being given back
            partial.write_text(text, encoding="utf-8")
            partial.replace(path)

    def _entry(self, file: _File) -> Entry:
        reason, age = "", None
        with _ignored():
            if file.state in ("failed", "waiting") and file.attempts:
                reason = (self.folder / "reasons" / file.slice).read_text(encoding="utf-8")
            if file.state == "leased":
                age = max(0.0, time.time() - (self.entries / file.name).stat().st_mtime)
        rows = file.number if file.state == "done" else None
        return Entry(file.slice, file.state, file.attempts, file.worker, age, rows, reason)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Errors of the file system in words."""
        try:
            yield
        except OSError as error:
            raise QueueError(f"{self.shown}: the queue's folder refuses: {error.strerror or error}") from error


def _word(worker: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", worker)[:80] or "worker"


@contextmanager
def _ignored() -> Iterator[None]:
    try:
        yield
    except OSError:
        return
