"""`Worker`: takes slices from a queue until there are none, and lets their parts appear in a folder.

A part is renamed into its place before its slice is marked as done, so a slice that is done has its part. A worker that
dies between the two leaves a part behind that the next one finds and counts, instead of making it again.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import TypeAlias

from tqdm import tqdm

from easyrec.data.parts import Parts
from easyrec.data.queues import Idle, Lease, QueueConfig, Status, WorkQueue
from easyrec.data.slices import Slice
from easyrec.errors import ConfigError, DataError, LeaseLost, MissingExtra, QueueError, QueueGone, RunError
from feature_generator.errors import OutputError

logger = logging.getLogger("easyrec.data")

Make: TypeAlias = Callable[[Slice, Path], int]
"""Writes the part of a slice into a new file; gives its number of rows."""

OWN = (ConfigError, MissingExtra, RunError, OutputError, QueueError, OSError)
"""Troubles of a worker, such as a full disk, rather than of its slice: they end the worker, and others go on."""

TOLD_SECONDS = 10.0
"""Without a bar the log tells of progress as often."""

REMADE = 5
"""A queue that its store lost is made again as often."""


@dataclass(frozen=True)
class Done:
    """What became of the work.

    Attributes:
        slices: Slices that this worker did.
        rows: Rows of all parts together; None where the worker left before all were there.
    """

    slices: int
    rows: int | None


class Worker:
    """One of any number of equal workers.

    Args:
        config: Of the queue.
        slices: All slices of the work.
        parts: Where parts go.
        exact: Every row that is read is written: a part has as many rows as its slice.
        wait: Stay until all slices are done, to take those of workers that die; else leave where none is to be had.
        bar: Draw a progress bar; else the log tells of progress.
        name: Of the worker; default: host and process.
        queue: Default: the one of the config.
    """

    def __init__(
        self,
        config: QueueConfig,
        slices: Sequence[Slice],
        parts: Parts,
        *,
        exact: bool = False,
        wait: bool = True,
        bar: bool = False,
        name: str | None = None,
        queue: WorkQueue | None = None,
    ) -> None:
        self.config, self.parts, self.exact, self.wait, self.bar = config, parts, exact, wait, bar
        self.slices = {slice.name: slice for slice in slices}
        self.name = name or f"{socket.gethostname()}-{os.getpid()}"
        self.queue = queue or config.open()
        self._remade = 0

    def run(self, make: Make) -> Done:
        """Work until there is nothing left.

        Raises:
            QueueError: Slices have failed, named with their reasons, after all others are done; or the queue is damaged
                or out of reach.
            RunError: The folder holds something else, a disk is full, or parts are not what was counted.
        """
        self.parts.prepare()
        self._create()
        self._reopen()
        mine, pause = 0, 0.05
        with _Progress(self.queue, len(self.slices), bar=self.bar) as progress:
            while True:
                try:
                    found = self.queue.lease(self.name, self.config.lease_seconds)
                    if isinstance(found, Lease):
                        mine, pause = mine + self._do(found, make), 0.05
                        progress.tell()
                    elif found is Idle.DONE:
                        status = self.queue.status()
                        break
                    elif not self.wait:
                        logger.info("%d slices done here; the rest is held by other workers", mine)
                        return Done(mine, None)
                    else:
                        progress.tell()
                        time.sleep(pause)
                        pause = min(2 * pause, 1.0, self.config.lease_seconds / 4)
                except QueueGone:
                    # A store without a memory of its own has started anew: parts that are there are only counted.
                    self._remade += 1
                    if self._remade > REMADE:
                        raise
                    logger.warning("%s has lost the queue: it is made again", self.queue.shown)
                    self._create()
        rows = self._conclude(status)
        logger.info("%d slices with %d rows are there, %d of them done here", len(self.slices), rows, mine)
        return Done(mine, rows)

    def _create(self) -> None:
        self.queue.create(self.parts.identity, list(self.slices), self.config.attempts)

    def _reopen(self) -> None:
        """Of work that has ended, try what failed and make what was removed since."""
        status = self.queue.status()
        if not status.finished:
            return
        missing = set(self.parts.missing(list(self.slices)))
        anew = [e.slice for e in status.entries if e.state == "failed" or e.slice in missing]
        if anew:
            self.parts.reopen()
            self.queue.again(anew)

    def _do(self, lease: Lease, make: Make) -> bool:
        """Make the part of a slice; whether it counts."""
        slice, partial = self.slices[lease.slice], self.parts.partial(lease.slice)
        rows = self.parts.rows(lease.slice)  # left by a worker that died before it could say so
        if rows is not None and not self._whole(slice, rows):
            rows = None
        try:
            with _Heartbeat(self.queue, lease):
                if rows is None:
                    rows = make(slice, partial)
                    if not self._whole(slice, rows):
                        raise DataError(f"{rows} rows were written of {slice.rows}")
                    self.queue.renew(lease)  # whoever lost the slice meanwhile publishes nothing
                    self.parts.publish(lease.slice, partial)
                self.queue.complete(lease, rows)
        except LeaseLost as error:
            logger.warning("%s", error)
            return False
        except OWN as error:
            if not isinstance(error, QueueError) and self._lost(lease):  # another one has tidied up behind us
                return False
            if not isinstance(error, QueueGone):
                self._give_back(lease)
            raise
        except Exception as error:  # noqa: BLE001 (a process edge: one bad slice must not end the others)
            text = str(error) if isinstance(error, DataError) else f"{type(error).__name__}: {error}"
            logger.warning("slice %s, attempt %d: %s", lease.slice, lease.attempt, text)
            self._fail(lease, f"{slice.description}: {text}")
            return False
        except BaseException:  # Ctrl-C: the slice need not wait for its lease to run out
            self._give_back(lease)
            raise
        finally:
            partial.unlink(missing_ok=True)
        return True

    def _whole(self, slice: Slice, rows: int) -> bool:
        return not self.exact or slice.rows in (None, rows)

    def _lost(self, lease: Lease) -> bool:
        try:
            self.queue.renew(lease)
        except LeaseLost as error:
            logger.warning("%s", error)
            return True
        except QueueError:  # whatever it is, it is told later
            return False
        return False

    def _fail(self, lease: Lease, reason: str) -> None:
        try:
            self.queue.fail(lease, reason)
        except LeaseLost as error:
            logger.warning("%s", error)

    def _give_back(self, lease: Lease) -> None:
        try:
            self.queue.release(lease)
        except QueueError as error:  # its lease will run out; what ends this worker is told instead
            logger.warning("%s", error)

    def _conclude(self, status: Status) -> int:
        failed = status.those("failed")
        if failed:
            lines = [f"  {entry.slice}, tried {entry.attempts} times: {entry.reason}" for entry in failed[:10]]
            lines += [f"  and {len(failed) - 10} more"] * (len(failed) > 10)
            head = f"{len(failed)} of {len(status.entries)} slices failed, the others are done:"
            tail = "mend the cause and start again: only these are tried anew"
            raise QueueError("\n".join([head, *lines, tail]))
        return self.parts.conclude(status.entries)


class _Heartbeat:
    """Renews a lease in a thread while its slice is worked on."""

    def __init__(self, queue: WorkQueue, lease: Lease) -> None:
        self.queue, self.lease, self._stop = queue, lease, Event()
        self._thread = Thread(target=self._beat, name=f"lease of {lease.slice}", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._stop.wait(self.lease.seconds / 3):
            if not self._renewed():
                return

    def _renewed(self) -> bool:
        """Whether there is anything left to renew."""
        try:
            self.queue.renew(self.lease)
        except (LeaseLost, QueueGone):  # the worker will learn it when it is done
            return False
        except QueueError as error:
            logger.warning("%s", error)
        return True


class _Progress:
    """How many slices of all workers are done, in a bar or in the log."""

    def __init__(self, queue: WorkQueue, total: int, *, bar: bool) -> None:
        self.queue, self.log, self._next = queue, not bar, time.monotonic()
        self._bar = tqdm(total=total, unit="slices", disable=not bar)

    def __enter__(self) -> _Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def tell(self) -> None:
        """Look at the queue, not too often: a look at a large one takes its time."""
        now = time.monotonic()
        if now < self._next:
            return
        counts = self.queue.status().counts
        took = time.monotonic() - now
        self._next = now + max(TOLD_SECONDS if self.log else 1.0, 50 * took)
        if self.log:
            text = ", ".join(f"{counts[state]} {state}" for state in ("leased", "waiting", "failed") if counts[state])
            logger.info("%d of %d slices done%s", counts["done"], counts.total(), f"; {text}" if text else "")
        else:
            self._bar.n = counts["done"]
            self._bar.set_postfix(leased=counts["leased"], failed=counts["failed"])
            self._bar.refresh()
