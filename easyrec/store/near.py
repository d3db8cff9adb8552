"""`NearStore`: an online store as a serving process reads it, with memory, deadlines and a breaker in front."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from threading import Lock

from typing_extensions import Self

from easyrec.errors import StoreError
from easyrec.store.breaker import Breaker
from easyrec.store.online import OnlineStore
from easyrec.store.read_config import ReadConfig, SnapshotConfig
from easyrec.store.record_cache import Found, RecordCache, RecordCacheStats, settle
from easyrec.store.snapshot import Snapshot, SnapshotStats


class NearStore:
    """Records of a store, from memory where they are held. Safe to use from several threads.

    Args:
        store: The store.
        config: What is held, and how long is waited.
        now: The clock, in seconds.

    Attributes:
        snapshots: By entity.
        caches: By entity.
        breaker: Says whether the store is asked.
    """

    def __init__(
        self, store: OnlineStore, config: ReadConfig | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.store, self.config, self._now = store, config or ReadConfig(), now
        self.breaker = Breaker(self.config.breaker.failures, self.config.breaker.pause, now)
        self.snapshots: dict[str, Snapshot] = {}
        self.caches: dict[str, RecordCache] = {}
        for entity, memory in self.config.memory.items():
            if isinstance(memory, SnapshotConfig):
                self.snapshots[entity] = Snapshot(store, entity, memory.poll, now)
            else:
                self.caches[entity] = RecordCache(memory.rows, memory.age, now)
        self._lock = Lock()
        self._pool: ThreadPoolExecutor | None = None

    def start(self) -> Self:
        """Load the snapshots, and follow the store from now on.

        Raises:
            StoreError: The store cannot be reached. The snapshots try again; until then it is read without them.
        """
        fault: StoreError | None = None
        for snapshot in self.snapshots.values():
            try:
                snapshot.start()
            except StoreError as error:  # noqa: PERF203 (there are few)
                fault = error
        if fault is not None:
            raise fault
        return self

    def memory(self) -> dict[str, SnapshotStats | RecordCacheStats]:
        """The state of what is held, by entity."""
        snapshots = {name: snapshot.stats for name, snapshot in self.snapshots.items()}
        return {**snapshots, **{name: cache.stats for name, cache in self.caches.items()}}

    @property
    def ready(self) -> bool:
        """Whether all snapshots are loaded."""
        return all(snapshot.is_loaded for snapshot in self.snapshots.values())

    def held(self, entity: str, keys: Sequence[bytes]) -> Found | None:
        """What a snapshot has, as `OnlineStore.read`; None: the store has to be asked."""
        snapshot = self.snapshots.get(entity)
        return snapshot.read(keys) if snapshot is not None and snapshot.is_loaded else None

    def read(self, entity: str, keys: Sequence[bytes]) -> Found:
        """As `OnlineStore.read`.

        Raises:
            StoreError: As there, or the store has failed lately and is not asked.
        """
        held = self.held(entity, keys)
        if held is not None:
            return held
        return self._begun(_Asking(self, entity, None, aside=False), keys)(None)

    def read_many(self, asked: Mapping[str, Sequence[bytes]]) -> dict[str, Found]:
        """As `OnlineStore.read_many`.

        Raises:
            StoreError: As there, or the store has failed lately and is not asked.
        """
        found: dict[str, Found] = {}
        left: dict[str, Sequence[bytes]] = {}
        for entity, keys in asked.items():
            held = self.held(entity, keys)
            if held is not None:
                found[entity] = held
            elif entity in self.caches:
                found[entity] = self.read(entity, keys)
            else:
                left[entity] = keys
        if not left:
            return found
        if not self.breaker.lets():
            raise NotInTime(f"{self.store.shown} is not asked: {self.breaker.failures} reads in a row have failed")
        try:
            found |= self.store.read_many(left)
        except StoreError:
            self.breaker.failed()
            raise
        self.breaker.succeeded()
        return found

    def begin(self, entity: str, keys: Sequence[bytes], seconds: float) -> Callable[[], Found]:
        """Begin to ask the store or a cache, and give what waits for it.

        Args:
            entity: Its name.
            keys: Any.
            seconds: After which it comes too late.

        Raises:
            StoreError: By what waits: as in `read`, or it has not come in time.
        """
        end = self._now() + seconds
        asking = _Asking(self, entity, end, aside=True)
        wait = self._begun(asking, keys)

        def result() -> Found:
            useless = self.breaker.is_open and not asking.began  # it would wait for another one, who waits for long
            try:
                return wait(0.0 if useless else max(0.0, end - self._now()))
            except (FutureTimeout, TimeoutError):
                if not useless:
                    self.breaker.failed()
                raise NotInTime(f"{self.store.shown} has not answered in time") from None

        return result

    def prefetch(self, entity: str, keys: Sequence[bytes]) -> None:
        """Have records of an entity with a cache come, and wait for nothing."""
        if entity in self.caches:
            self._begun(_Asking(self, entity, None, aside=True), keys)

    def aside(self, work: Callable[[], None]) -> None:
        """Have a thread of the store's do some work that nobody waits for, unless the store has failed lately."""
        if not self.breaker.is_open:
            with suppress(RuntimeError):  # it was closed
                self._submit(work)

    def close(self) -> None:
        """Let go of everything, the store too."""
        for snapshot in self.snapshots.values():
            snapshot.close()
        with self._lock:
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------- inside

    def _begun(self, asking: _Asking, keys: Sequence[bytes]) -> Callable[[float | None], Found]:
        cache = self.caches.get(asking.entity)
        if cache is not None:
            return cache.ask(keys, asking.fetch, asking.run)
        future: Future[Found] = Future()
        asking.run(lambda: settle(future, lambda: asking.fetch(keys)))
        return future.result

    def _submit(self, work: Callable[[], None]) -> None:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.config.threads, thread_name_prefix="store")
            self._pool.submit(work)


class _Asking:
    """The store is asked, in a thread of its own where there is a deadline, unless it has failed lately.

    Args:
        near: Whose.
        entity: Name of the entity.
        end: When it is too late; None: never.
        aside: Whether in another thread.

    Attributes:
        began: Whether the store was asked.
    """

    def __init__(self, near: NearStore, entity: str, end: float | None, *, aside: bool) -> None:
        self.near, self.entity, self.end, self.aside = near, entity, end, aside
        self.began = False

    def run(self, work: Callable[[], None]) -> None:
        """Do what `fetch` is called by. Called by who asks, so that a store that fails costs no thread."""
        self.began = self.near.breaker.lets()
        if self.aside and self.began:
            self.near._submit(work)
        else:
            work()

    def fetch(self, keys: Sequence[bytes]) -> Found:
        """What the store has.

        Raises:
            StoreError: It cannot be reached, has failed lately, or it is too late.
        """
        store, breaker = self.near.store, self.near.breaker
        if not self.began:
            raise NotInTime(f"{store.shown} is not asked: {breaker.failures} reads in a row have failed")
        if self._is_late():  # it has waited for a thread
            raise NotInTime(f"{store.shown} was not asked in time")
        try:
            found = store.read(self.entity, keys)
        except StoreError:
            breaker.failed()
            raise
        if not self._is_late():
            breaker.succeeded()
        return found

    def _is_late(self) -> bool:
        return self.end is not None and self.near._now() > self.end


class NotInTime(StoreError):  # noqa: N818 (it says what became of the read)
    """A store was not asked, or has not answered, before a deadline."""
