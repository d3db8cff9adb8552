"""`UserCache`: what follows from a user and a context, kept for seconds, and computed once where several ask at a time."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from easyrec.errors import DeadlineError
from feature_generator.request import Request
from serving.cache_stats import CacheStats


@dataclass(frozen=True)
class KnownUser:
    """What is computed once a request.

    Attributes:
        request: The user's features, and what features of both sides need of them.
        inputs: What a program for requests reads of them; None where there is no such program.
        missing: By raw column, values that were not given.
        unknown: By feature, values outside of its vocabulary or range.
        bad: Columns of bad values.
    """

    request: Request
    inputs: Mapping[str, np.ndarray] | None
    missing: Mapping[str, int] = field(default_factory=dict)
    unknown: Mapping[str, int] = field(default_factory=dict)
    bad: tuple[str, ...] = ()


@dataclass
class _Entry:
    content: bytes
    made: float
    user: Future[KnownUser]


class UserCache:
    """Users by key and content. What is kept is what would be computed of the same columns, bit for bit.

    A user whose columns have changed is computed anew, whatever its age. Safe to use from several threads.

    Args:
        key: The user's column that tells users apart; without one, users of other content are others.
        rows: Users that are kept; beyond them, those that were not asked for longest go.
        age_s: Seconds after which a user is computed anew.
        now: The clock, in seconds.
    """

    def __init__(
        self,
        key: str | None = None,
        *,
        rows: int = 10_000,
        age_s: float = 10.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        if rows < 1 or not age_s > 0:
            raise ValueError(f"a cache of users has at least one row, and an age above 0, not {rows} and {age_s}")
        self.key, self.rows, self.age_s, self._now = key, rows, age_s, now
        self._lock = threading.Lock()
        self._entries: OrderedDict[Any, _Entry] = OrderedDict()
        self._hits = self._misses = self._evicted = 0

    def get(self, key: Any, content: bytes, make: Callable[[], KnownUser], timeout_s: float | None = None) -> KnownUser:
        """The user of a key and a content; of several that ask for it at a time, one computes it.

        Args:
            key: Tells users apart.
            content: Stands for all that is read of the user and the context.
            make: Computes it.
            timeout_s: How long another one that computes it is waited for.

        Raises:
            DeadlineError: The time is over.
            DataError: What `make` raises; it is not kept.
        """
        with self._lock:
            now, entry = self._now(), self._entries.get(key)
            if entry is not None and entry.content == content and now - entry.made <= self.age_s:
                self._entries.move_to_end(key)
                self._hits += 1
                mine = False
            else:
                entry = self._entries[key] = _Entry(content, now, Future())
                self._entries.move_to_end(key)
                self._misses += 1
                mine = True
                while len(self._entries) > self.rows:
                    self._entries.popitem(last=False)
                    self._evicted += 1
        if mine:
            self._compute(key, entry, make)
        try:
            return entry.user.result(timeout_s)
        except FutureTimeout:
            raise DeadlineError("the deadline passed while the user was computed for another request", "user") from None

    def _compute(self, key: Any, entry: _Entry, make: Callable[[], KnownUser]) -> None:
        try:
            entry.user.set_result(make())
        except BaseException as error:  # noqa: BLE001 (whoever waits for it raises it as well)
            with self._lock:
                if self._entries.get(key) is entry:
                    del self._entries[key]
            entry.user.set_exception(error)

    def clear(self) -> None:
        """Forget all users."""
        with self._lock:
            self._entries.clear()

    def __len__(self) -> int:
        with self._lock:
            return len(self._entries)

    @property
    def stats(self) -> CacheStats:
        """Its size, the age of its oldest user, and how often it was asked."""
        with self._lock:
            oldest = min((entry.made for entry in self._entries.values()), default=None)
            nbytes = sum(_bytes(entry) for entry in self._entries.values())
            age = 0.0 if oldest is None else self._now() - oldest
            return CacheStats(len(self._entries), nbytes, age, self._hits, self._misses, self._evicted)


def _bytes(entry: _Entry) -> int:
    """Bytes of what was looked up, which is most of it."""
    if not entry.user.done() or entry.user.exception() is not None:
        return 0
    return sum(array.nbytes for array in (entry.user.result().inputs or {}).values())
