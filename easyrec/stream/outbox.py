"""Rows on their way to the online store: written beside the counting, again where that fails, and never forgotten."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Condition, Thread

import numpy as np
import pyarrow as pa

from easyrec.errors import DataError, StoreError
from easyrec.store.streams import WriteConfig
from easyrec.store.writer import Writer
from easyrec.stream.letters import DeadLetters
from easyrec.stream.sources import Malformed
from easyrec.stream.state import State, every

logger = logging.getLogger("easyrec.stream")

SPACE = "due"
LONGEST_PAUSE = 60.0
AT_ONCE = 50_000
"""Rows that are written at once, about; of several with one key the last."""


@dataclass(frozen=True)
class Waiting:
    """Rows that wait.

    Attributes:
        number: Which rows are due is remembered by it.
        rows: As the online store takes them.
        gone: Keys of which nothing is left; none of the rows'.
        since: When they came, in seconds that never run backwards.
    """

    number: int
    rows: pa.RecordBatch
    gone: list[bytes]
    since: float

    @property
    def size(self) -> int:
        """Keys."""
        return int(self.rows.num_rows) + len(self.gone)


class Outbox:
    """Writes rows, and knows whose rows have still to be written.

    What is due is remembered in the state, in the transaction that makes it due, and forgotten after it was written. A
    row is made of what the state holds of its key, so that it may be written twice.

    Args:
        config: How.
        writer: Of the online store.
        view: Name of the view.
        join_id: The column of keys.
        state: Remembers whose rows have still to be written.
        letters: Takes rows that cannot be written; None: there is no such file.
    """

    def __init__(
        self,
        config: WriteConfig,
        writer: Writer,
        view: str,
        join_id: str,
        state: State,
        letters: DeadLetters | None,
    ) -> None:
        self.config, self.writer, self.view, self.join_id, self.letters = config, writer, view, join_id, letters
        self.counts = Counter[str]()
        self._left = [(int.from_bytes(name, "big"), unpacked(keys)) for name, keys in every(state, SPACE)]
        self._number = max((number for number, _ in self._left), default=-1) + 1
        self._done: list[int] = []
        self._waiting: deque[Waiting] = deque()
        self._queued, self._rows = 0, 0  # that wait; with those that are being written
        self._changed = Condition()
        self._fault: Exception | None = None
        self._stopped = False
        self._thread: Thread | None = None
        if config.mode == "queue":
            self._thread = Thread(target=self._write_all, name="easyrec-outbox", daemon=True)
            self._thread.start()

    def recover(self, rows_of: Callable[[Sequence[bytes]], tuple[pa.RecordBatch, list[bytes]]]) -> None:
        """Put the rows that were due when the last process was stopped.

        Args:
            rows_of: The rows of some keys, and those of them of which nothing is left.
        """
        for number, keys in self._left:
            for start in range(0, len(keys), AT_ONCE):
                last = start + AT_ONCE >= len(keys)
                self._put(number if last else -1, *rows_of(keys[start : start + AT_ONCE]))
        self._left = []

    def due(self, keys: Sequence[bytes]) -> tuple[str, Sequence[bytes], Sequence[bytes]]:
        """What the state has to remember of rows that are put next, and to forget of those that were written."""
        with self._changed:
            done, self._done = self._done, []
        names = [number.to_bytes(8, "big") for number in done]
        if not keys:
            return SPACE, names, [b""] * len(names)
        return SPACE, [*names, self._number.to_bytes(8, "big")], [*[b""] * len(names), packed(keys)]

    def put(self, rows: pa.RecordBatch, gone: Sequence[bytes] = ()) -> None:
        """Take rows that `due` made known; in mode `direct` they are written when this returns.

        Args:
            rows: As the online store takes them.
            gone: Keys of which nothing is left; none of the rows'.

        Raises:
            DataError: A row does not fit, and such rows are not kept as dead letters.
            StoreError: The store cannot be reached for too long.
        """
        if rows.num_rows or gone:
            number, self._number = self._number, self._number + 1
            self._put(number, rows, list(gone))

    def check(self) -> None:
        """Raise what has stopped the writing beside the counting."""
        with self._changed:
            self._raise()

    def flush(self) -> None:
        """Wait until all rows are written.

        Raises:
            StoreError: The store cannot be reached for too long.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._fault is not None or not self._rows)
            self._raise()
        self.writer.tell(self.view)

    def close(self) -> None:
        """Stop; rows that wait stay due."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def figures(self) -> dict[str, float]:
        """Rows that wait, for how long the oldest has waited, and what became of others."""
        with self._changed:
            oldest = time.monotonic() - self._waiting[0].since if self._waiting else 0.0
            return {"backlog_rows": self._rows, "oldest_seconds": oldest, **self.counts}

    # ------------------------------------------------------------------------------------------- inside

    def _put(self, number: int, rows: pa.RecordBatch, gone: list[bytes]) -> None:
        one = Waiting(number, rows, gone, time.monotonic())
        if self._thread is None:
            self._written(rows, gone)
            self._finished([one])
            return
        with self._changed:
            self._raise()
            if self.config.full == "wait":
                self._changed.wait_for(lambda: self._fault is not None or self._has_room(one))
                self._raise()
            while not self._has_room(one):
                if self.config.full == "drop_newest":
                    self._drop(one)
                    return
                oldest = self._waiting.popleft()
                self._queued, self._rows = self._queued - oldest.size, self._rows - oldest.size
                self._drop(oldest)
            self._waiting.append(one)
            self._queued, self._rows = self._queued + one.size, self._rows + one.size
            self._changed.notify_all()

    def _has_room(self, one: Waiting) -> bool:
        """Whether rows fit in; more than the queue holds at all fit into an empty one."""
        return not self._waiting or self._queued + one.size <= self.config.rows

    def _drop(self, one: Waiting) -> None:
        self.counts["rows_dropped"] += one.size
        self._finished([one])

    def _raise(self) -> None:
        if self._fault is not None:
            raise self._fault

    def _finished(self, taken: Sequence[Waiting]) -> None:
        self._done += [one.number for one in taken if one.number >= 0]

    def _write_all(self) -> None:
        """Write what waits, until it is stopped or cannot go on."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or self._waiting)
                if self._stopped:
                    return
                taken = [self._waiting.popleft()]
                rows = taken[0].size
                # What is gone is written after its rows: it ends what is written at once.
                while self._waiting and not taken[-1].gone and rows + self._waiting[0].size <= AT_ONCE:
                    taken.append(self._waiting.popleft())
                    rows += taken[-1].size
                self._queued -= rows
                self._changed.notify_all()
            try:
                self._written(_together([one.rows for one in taken]), taken[-1].gone)
            except Exception as error:  # noqa: BLE001 (told where rows are put)
                with self._changed:
                    self._fault = error
                    self._changed.notify_all()
                return
            with self._changed:
                self._rows -= rows
                self._finished(taken)
                self._changed.notify_all()

    def _written(self, rows: pa.RecordBatch, gone: list[bytes]) -> None:
        """Write rows, several times if need be, or put them among the dead letters."""
        pause = self.config.backoff
        for left in reversed(range(self.config.tries)):
            try:
                taken = self.writer.write(self.view, rows)
                if gone:
                    self.writer.remove(self.view, pa.array(gone, pa.binary()).cast(pa.string()))
            except DataError as error:  # noqa: PERF203 (a try is what it is for)
                self._failed(rows, error)
                return
            except StoreError as error:
                self.counts["writes_failed"] += 1
                if not left or self._stopped:
                    self._failed(rows, error)
                    return
                logger.warning("%s; it is tried again in %.1f seconds", error, pause)
                with self._changed:
                    self._changed.wait_for(lambda: self._stopped, pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                self.counts["rows_written"] += taken
                self.counts["rows_merged"] += rows.num_rows - taken
                self.counts["rows_removed"] += len(gone)
                return

    def _failed(self, rows: pa.RecordBatch, error: Exception) -> None:
        if self.config.failed == "stop" or self.letters is None or self._stopped:
            raise error
        keys = rows.column(self.join_id).to_pylist()
        self.letters.write([Malformed(f"view {self.view}, key {key}", str(error)) for key in keys])
        self.counts["rows_failed"] += rows.num_rows


def _together(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    if len(batches) == 1:
        return batches[0]
    whole = pa.Table.from_batches(batches).combine_chunks().to_batches()
    return whole[0] if whole else batches[0]


def packed(keys: Sequence[bytes]) -> bytes:
    """Keys in one: how many, the length of each, and the keys."""
    lengths = np.fromiter(map(len, keys), np.uint32, len(keys))
    return len(keys).to_bytes(4, "little") + lengths.astype("<u4").tobytes() + b"".join(keys)


def unpacked(text: bytes) -> list[bytes]:
    """The keys that were packed."""
    count = int.from_bytes(text[:4], "little")
    lengths = np.frombuffer(text, "<u4", count, 4)
    ends = np.cumsum(lengths, dtype=np.int64) + 4 + 4 * count
    return [text[start:end] for start, end in zip((ends - lengths).tolist(), ends.tolist(), strict=True)]
