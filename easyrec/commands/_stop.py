"""What is told to end, ends after what it is at."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any


@contextmanager
def told_to_stop() -> Iterator[Event]:
    """Is set where the process is told to end; a second signal ends it at once."""
    stop = Event()
    before: dict[int, Any] = {}

    def told(number: int, frame: object) -> None:
        stop.set()
        signal.signal(number, before[number])

    for number in (signal.SIGTERM, signal.SIGINT):
        before[number] = signal.signal(number, told)
    try:
        yield stop
    finally:
        for caught, handler in before.items():
            signal.signal(caught, handler)
