"""`RecordCache`: records that were asked for lately, read once where several ask for one at a time."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock
from typing import TypeAlias, TypeVar

Found: TypeAlias = "tuple[bytes | None, list[bytes | None]]"
"""A head, and records of the same moment."""
Some: TypeAlias = "tuple[bytes | None, dict[bytes, bytes | None]]"
"""The same by key."""
Fetch: TypeAlias = Callable[[Sequence[bytes]], Found]
Run: TypeAlias = Callable[[Callable[[], None]], object]
TRIES = 3
"""How often a read begins anew because a generation was switched meanwhile."""
T = TypeVar("T")


@dataclass(frozen=True)
class RecordCacheStats:
    """The state of a cache at this moment.

    Attributes:
        rows: Keys that are held.
        hits: Keys that were held when they were asked for.
        misses: Keys that the store was asked for.
        shared: Keys that another one was just asking the store for.
        evicted: Keys that went for want of room.
    """

    rows: int
    hits: int
    misses: int
    shared: int
    evicted: int


class RecordCache:
    """Records of an entity by key, with the one head that they were read with.

    A record is only good with the head of its moment, so a new head lets all former records go.

    Args:
        rows: Keys that are held; beyond them, those that were not asked for longest go.
        age_s: Seconds that one is held.
        now: The clock, in seconds.
    """

    def __init__(self, rows: int = 100_000, age_s: float = 10.0, now: Callable[[], float] = time.monotonic) -> None:
        self.rows, self.age_s, self._now = rows, age_s, now
        self._lock = Lock()
        self._head: bytes | None = None
        self._head_made = now()
        self._held: OrderedDict[bytes, tuple[float, bytes | None]] = OrderedDict()
        self._coming: dict[bytes, Future[Some]] = {}
        self._hits = self._misses = self._shared = self._evicted = 0

    def ask(self, keys: Sequence[bytes], fetch: Fetch, run: Run) -> Callable[[float | None], Found]:
        """Begin to read.

        Args:
            keys: Any.
            fetch: Asks the store for records.
            run: Does so here, or in a thread.

        Returns:
            Waits so many seconds, None for ever, and gives what was read.
        """
        return self._asked(keys, fetch, run, TRIES)

    def _asked(self, keys: Sequence[bytes], fetch: Fetch, run: Run, tries: int) -> Callable[[float | None], Found]:
        found: dict[bytes, bytes | None] = {}
        lacking: list[bytes] = []
        others: set[Future[Some]] = set()
        mine: Future[Some] = Future()
        with self._lock:
            now, head = self._now(), self._head
            for key in dict.fromkeys(keys):
                held = self._held.get(key)
                if held is not None and now - held[0] <= self.age_s:
                    found[key] = held[1]
                    self._held.move_to_end(key)
                elif key in self._coming:
                    others.add(self._coming[key])
                    self._shared += 1
                else:
                    lacking.append(key)
            self._hits += len(found)
            self._misses += len(lacking)
            if lacking:
                self._coming.update(dict.fromkeys(lacking, mine))
                others.add(mine)
        if not others:
            return lambda _: (head, list(map(found.get, keys)))
        if lacking:
            run(lambda: self._read(mine, lacking, fetch))

        def result(timeout_s: float | None) -> Found:
            end = None if timeout_s is None else self._now() + timeout_s
            heads = {head} if found else set()
            for other in others:
                came, some = other.result(None if end is None else max(0.0, end - self._now()))
                heads.add(came)
                found.update(some)
            if len(heads) <= 1:
                return heads.pop() if heads else head, list(map(found.get, keys))
            left = None if end is None else max(0.0, end - self._now())
            if tries > 1:
                return self._asked(keys, fetch, run, tries - 1)(left)
            whole: Future[Found] = Future()
            run(lambda: settle(whole, lambda: fetch(keys)))
            return whole.result(left)

        return result

    def _read(self, mine: Future[Some], keys: list[bytes], fetch: Fetch) -> None:
        made = self._now()

        def read() -> Some:
            try:
                head, records = fetch(keys)
            except BaseException:
                with self._lock:
                    for key in keys:
                        del self._coming[key]
                raise
            some = dict(zip(keys, records, strict=True))
            self._keep(made, head, some)
            return head, some

        settle(mine, read)

    def _keep(self, made: float, head: bytes | None, some: Mapping[bytes, bytes | None]) -> None:
        with self._lock:
            for key in some:
                del self._coming[key]
            if head != self._head:
                if made < self._head_made:  # it was overtaken, and may be of a former generation
                    return
                self._held.clear()
                self._head = head
            self._head_made = max(made, self._head_made)
            for key, record in some.items():
                self._held[key] = (made, record)
                self._held.move_to_end(key)
            while len(self._held) > self.rows:
                self._held.popitem(last=False)
                self._evicted += 1

    @property
    def stats(self) -> RecordCacheStats:
        """What it holds, and how often it was asked."""
        with self._lock:
            return RecordCacheStats(len(self._held), self._hits, self._misses, self._shared, self._evicted)


def settle(future: Future[T], work: Callable[[], T]) -> None:
    """Let a future have what some work gives or raises."""
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 (whoever waits for it raises it)
        future.set_exception(error)
    else:
        future.set_result(result)
