"""`Prefetch`: an iterator that runs ahead of its consumer in a thread of its own."""

from __future__ import annotations

import atexit
import weakref
from collections import deque
from collections.abc import Iterator
from functools import cache
from threading import Condition, Thread, local
from typing import Generic, TypeVar

T = TypeVar("T")

_running: weakref.WeakSet[Prefetch] = weakref.WeakSet()  # type: ignore[type-arg]  # of any item type

_own = local()

JOIN_SECONDS = 30.0
"""How long `close` waits for an item under way; a thread stuck longer (a dead network drive) ends by itself."""


class Prefetch(Generic[T]):
    """Items of an iterator, made by a background thread up to `size` ahead.

    The order is the iterator's. An error in the thread is raised by the next `next()`, before items that were
    made earlier. `close`, the end of the items, garbage and the end of the program all end the thread; it is
    always the thread that closes the iterator.

    Args:
        items: Iterator that only the thread will touch.
        size: Most items that wait for the consumer.
    """

    def __init__(self, items: Iterator[T], size: int) -> None:
        self._channel = _Channel[T](size)
        self._thread = Thread(target=_fill, args=(items, self._channel), name="easyrec-loader", daemon=True)
        _close_at_exit()
        _running.add(self)
        self._thread.start()

    def __iter__(self) -> Prefetch[T]:
        return self

    def __next__(self) -> T:
        return self._channel.get()

    def ready(self, seconds: float) -> bool:
        """Wait so long at most; True where `next()` will not wait."""
        return self._channel.ready(seconds)

    def peek(self) -> T | None:
        """The item that comes next, which stays; None where it is not made yet."""
        return self._channel.peek()

    def close(self) -> None:
        """Stop the thread and forget waiting items."""
        self._channel.close()
        self._thread.join(JOIN_SECONDS)
        _running.discard(self)

    def __del__(self) -> None:
        self._channel.close()


class _Channel(Generic[T]):
    """A bounded queue that either end may close."""

    def __init__(self, size: int) -> None:
        self._items: deque[T] = deque()
        self._size, self._changed = size, Condition()
        self._closed = self._finished = False
        self._error: BaseException | None = None

    def put(self, item: T) -> bool:
        """Wait for room and add; False once the consumer has left."""
        with self._changed:
            while len(self._items) >= self._size and not self._closed:
                self._changed.wait()
            if self._closed:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    @property
    def closed(self) -> bool:
        return self._closed

    def ready(self, seconds: float | None) -> bool:
        with self._changed:
            return self._changed.wait_for(
                lambda: bool(self._items or self._finished or self._closed or self._error), seconds
            )

    def get(self) -> T:
        with self._changed:
            self.ready(None)
            if self._error is not None:
                raise self._error
            if self._closed or not self._items:
                raise StopIteration
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def peek(self) -> T | None:
        with self._changed:
            return self._items[0] if self._items else None

    def finish(self, error: BaseException | None = None) -> None:
        with self._changed:
            self._finished, self._error = True, error
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()


def abandoned() -> bool:
    """In a thread that makes items ahead: whether nobody wants them any more. What waits there asks now and then."""
    channel = getattr(_own, "channel", None)
    return channel is not None and channel.closed


def _fill(items: Iterator[T], channel: _Channel[T]) -> None:
    _own.channel = channel
    try:
        for item in items:
            if not channel.put(item):
                break
        if hasattr(items, "close"):
            items.close()
    except BaseException as error:  # noqa: BLE001 (the edge of the thread: the consumer raises it)
        channel.finish(error)
    else:
        channel.finish()


@cache
def _close_at_exit() -> None:
    """Have all threads ended before the interpreter is: one that is inside Arrow then would crash it."""
    atexit.register(_close_all)


def _close_all() -> None:
    for prefetch in list(_running):
        prefetch.close()
