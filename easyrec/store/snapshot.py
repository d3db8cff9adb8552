"""`Snapshot`: all records of an entity in the memory of a process, following what others write."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event, Lock, Thread

from easyrec.errors import StoreError
from easyrec.store.online import OnlineStore

AT_ONCE = 2000
"""Keys that are read at a time."""
MANY = 10_000
"""With more changes than this a copy is changed, so that no reader waits."""
TRIES = 5
"""How often changes are read anew because a generation was switched meanwhile."""
_log = logging.getLogger("easyrec.store")


@dataclass(frozen=True)
class SnapshotStats:
    """The state of a snapshot at this moment.

    Attributes:
        rows: Keys with a record.
        nbytes: Of keys and records.
        lag_s: Seconds since which changes in the store may not have been seen.
        polls: How often the store was asked for changes, with success.
        changes: Keys that were read anew.
        reloads: How often everything was read.
        failures: Polls that failed.
    """

    rows: int
    nbytes: int
    lag_s: float
    polls: int
    changes: int
    reloads: int
    failures: int


class Snapshot:
    """The records of an entity as they were in the store a moment ago, each as it is there, and the head with them.

    Args:
        store: Where they come from.
        entity: Name of the entity.
        poll_s: Seconds between two polls.
        now: The clock, in seconds.
    """

    def __init__(
        self, store: OnlineStore, entity: str, poll_s: float = 1.0, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.store, self.entity, self.poll_s, self._now = store, entity, poll_s, now
        self._lock, self._ends, self._thread = Lock(), Event(), Thread(target=self._follow, daemon=True)
        self._head: bytes | None = None
        self._records: dict[bytes, bytes] = {}
        self._mark: bytes | None = None
        self._nbytes = 0
        self._seen = -1.0  # since when changes may be unseen; below 0: nothing was loaded yet
        self._polls = self._changes = self._reloads = self._failures = 0
        self._failing = False

    @property
    def is_loaded(self) -> bool:
        """Whether it holds what there is."""
        return self._seen >= 0.0

    def read(self, keys: Sequence[bytes]) -> tuple[bytes | None, list[bytes | None]]:
        """As `OnlineStore.read`, of the entity."""
        with self._lock:
            return self._head, list(map(self._records.get, keys))

    def poll(self) -> int:
        """See what was changed; at first, and where the store does not know, read everything. Gives the number of keys.

        Raises:
            StoreError: The store cannot be reached; what is held stays.
        """
        begun, records = self._now(), self._records
        mark, wanted, fresh = self._mark, dict[bytes, None](), dict[bytes, bytes | None]()
        for _ in range(TRIES):
            head = self._head_now()
            # Rows are written before a head counts them: what was changed until now is all that this head needs.
            later, keys = (b"", None) if mark is None else self.store.changes(self.entity, mark)
            if keys is None:
                later, _ = self.store.changes(self.entity, None)  # first: what is changed meanwhile comes again
                records = {key: record for some in self.store.scan(self.entity) for key, record in some}
                wanted, fresh = {}, {}
                self._reloads += 1
            elif keys:
                wanted.update(dict.fromkeys(keys))
                fresh = self._read(list(wanted))
            mark = later
            if self._head_now() == head:
                break
        else:
            raise StoreError(f"{self.store.shown}: '{self.entity}' changes faster than it can be followed")
        whole = records is not self._records
        self._keep(head, records, fresh)
        self._mark, self._seen = mark, begun
        self._polls += 1
        self._changes += len(fresh)
        return len(records) if whole else len(fresh)

    def _head_now(self) -> bytes | None:
        return self.store.read(self.entity, [])[0]

    def _read(self, keys: list[bytes]) -> dict[bytes, bytes | None]:
        made: dict[bytes, bytes | None] = {}
        for start in range(0, len(keys), AT_ONCE):
            some = keys[start : start + AT_ONCE]
            made.update(zip(some, self.store.read(self.entity, some)[1], strict=True))
        return made

    def _keep(self, head: bytes | None, records: dict[bytes, bytes], fresh: dict[bytes, bytes | None]) -> None:
        nbytes = self._nbytes
        if records is not self._records:
            nbytes = sum(map(len, records)) + sum(map(len, records.values()))
        elif len(fresh) > MANY:
            records = dict(records)
        if records is not self._records:  # nobody reads them yet
            nbytes += _lay_over(records, fresh)
            with self._lock:
                self._head, self._records = head, records
        else:
            with self._lock:
                self._head = head
                nbytes += _lay_over(records, fresh)
        self._nbytes = nbytes

    # ------------------------------------------------------------------------------------------- follow

    def start(self) -> None:
        """Load it, and follow the store in a thread of its own from now on.

        Raises:
            StoreError: The store cannot be reached; it is tried again.
        """
        try:
            self.poll()
        finally:
            self._thread.start()

    def close(self) -> None:
        """Stop to follow."""
        self._ends.set()
        if self._thread.is_alive():
            self._thread.join()

    def _follow(self) -> None:
        while not self._ends.wait(self.poll_s):
            self._poll_or_tell()

    def _poll_or_tell(self) -> None:
        try:
            self.poll()
        except StoreError as error:
            if not self._failing:
                _log.warning("'%s' cannot be followed, and stays as it is: %s", self.entity, error)
            self._failing = True
            self._failures += 1
        else:
            if self._failing:
                _log.warning("'%s' follows %s again", self.entity, self.store.shown)
            self._failing = False

    @property
    def stats(self) -> SnapshotStats:
        """What it holds, and how it follows."""
        lag = self._now() - self._seen if self.is_loaded else 0.0
        counts = (self._polls, self._changes, self._reloads, self._failures)
        return SnapshotStats(len(self._records), self._nbytes, lag, *counts)


def _lay_over(records: dict[bytes, bytes], fresh: dict[bytes, bytes | None]) -> int:
    """Put records where they belong; says by how many bytes they have grown."""
    grown = 0
    for key, record in fresh.items():
        former = records.get(key)
        grown -= 0 if former is None else len(key) + len(former)
        if record is not None:
            records[key] = record
            grown += len(key) + len(record)
        elif former is not None:
            del records[key]
    return grown
