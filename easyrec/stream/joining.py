"""The loop of a sample joiner: events of all kinds in, state and offsets in one transaction, samples out.

The kind whose events are the furthest behind is read next, so that what waits for others is little. Samples are written where
nobody reads them, then noted in the transaction that also says how far was read, then let be read: each row is read once, whenever
this is stopped.
"""

from __future__ import annotations

import json
import secrets
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from easyrec.errors import StoreError, nearest
from easyrec.store.definitions import StoreConfig
from easyrec.store.online import OnlineStore
from easyrec.store.samples import SampleConfig
from easyrec.store.streams import EventsConfig
from easyrec.stream.intake import Intake, Taken
from easyrec.stream.joiner import END, EXPOSURE, Joiner
from easyrec.stream.letters import DeadLetters
from easyrec.stream.meta import read_meta
from easyrec.stream.sinks import Sink
from easyrec.stream.snapshot import Snapshot
from easyrec.stream.sources import Offset
from easyrec.stream.state import Changes, State, every
from easyrec.stream.watermark import BEGIN, Watermarks

META, ROWS = "meta", "rows"
MAIN, NOTE = b"samples", b"note"
AT_ONCE = 16_384
"""Events of one kind that are taken before it is asked which kind is behind."""


class Joining:
    """Makes samples.

    Args:
        config: What is defined, or the samples alone.
        name: Of the samples, where there are several.
        until_end: Whether to end where the sources end now.
        folder: Where the state lies, unless the config says.
        clock: Seconds since 1970.

    Raises:
        StoreError: There are no such samples, or the state is another one's or in use.
    """

    def __init__(
        self,
        config: StoreConfig | SampleConfig,
        name: str = "",
        *,
        until_end: bool = False,
        folder: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        store = None if isinstance(config, SampleConfig) else config
        self.config = config if isinstance(config, SampleConfig) else _named(config, name)
        state = self.config.state or _default_state()
        self.state: State = state.open((folder or Path()) / f"{self.config.name}.samples")
        self.online: OnlineStore | None = None
        self.sink: Sink | None = None
        self.kinds: list[_Kind] = []
        try:
            if self.config.exposures.features is not None:
                if store is None:
                    raise StoreError(f"samples '{self.config.name}': features are read from a store, and there is none")
                self.online = store.online.open(store.project)
            self.joiner = Joiner(self.config, self._snapshot(store))
            self._meta = self._read(self.state.get(META, [MAIN])[0])
            self.joiner.restore(self._kept())
            for kind, events in {
                EXPOSURE: self.config.exposures,
                **{one.name: one for one in self.config.labels},
            }.items():
                keys = self.config.keys if kind == EXPOSURE else self.config.keys_of(self.config.label(kind))
                told = self._meta["kinds"].get(kind, {"offsets": {}, "newest": {}, "counts": {}})
                self.kinds.append(_Kind(kind, events, keys, told, until_end, clock))
            self.sink = self._opened()
        except BaseException:
            self.close()
            raise

    @property
    def watermark(self) -> int:
        """Events before it are late, in microseconds since 1970."""
        return min(kind.watermark for kind in self.kinds)

    @property
    def ended(self) -> bool:
        """Whether nothing will come any more."""
        return all(kind.source.ended for kind in self.kinds)

    @property
    def place(self) -> str:
        """Where samples go, as people call it."""
        return "" if self.sink is None else self.sink.shown

    @property
    def waiting(self) -> int:
        """Exposures whose samples are still to be made."""
        return self.joiner.waiting

    @property
    def counts(self) -> Counter[str]:
        """What was read, made, and left out."""
        read = Counter(
            {f"{kind.name}.{n}": number for kind in self.kinds for n, number in kind.counts.items() if number}
        )
        return self.joiner.counts + read

    def step(self) -> int:
        """Take the next events, and give how many were read."""
        taken, read = self._events()
        watermark = self.watermark
        if read or watermark > self.joiner.watermark:
            self._advance(taken, watermark)
        return read

    def run(self, stop: Callable[[], bool] = lambda: False, told: Callable[[Joining], None] | None = None) -> None:
        """Take events until they end, or until it is asked to stop.

        Args:
            stop: Whether to stop.
            told: Is called after each step.
        """
        while not stop() and not self.ended:
            self.step()
            if told is not None:
                told(self)

    def flush(self) -> None:
        """Make all samples that wait, as if time had passed: what comes before the end of their windows is late then."""
        newest = max((time for kind in self.kinds for time in kind.watermarks.newest.values()), default=None)
        if newest is not None:
            self._advance({}, newest + max(self.config.horizon(), self.config.wait_micros) + 1)

    def close(self) -> None:
        """Let go of all that is open; what waits is gone on with later."""
        for kind in self.kinds:
            kind.source.close()
        for one in (self.sink, self.online, self.state):
            if one is not None:
                one.close()

    # ------------------------------------------------------------------------------------------- inside

    def _events(self) -> tuple[dict[str, tuple[pa.RecordBatch, np.ndarray]], int]:
        """What comes within a while, as far as it is not too much, by kind; and how many were read."""
        config = self.config.exposures
        end = time.monotonic() + config.batch_seconds
        found: dict[str, list[Taken]] = {}
        empty: set[str] = set()
        read = 0
        while read < config.batch_rows:
            open_ = [kind for kind in self.kinds if not kind.source.ended]
            asked = [kind for kind in open_ if kind.name not in empty]
            left = end - time.monotonic()
            if not open_ or (left <= 0 and (read or not asked)):
                break
            if not asked:  # nothing is there: wait for the kind that holds up the others
                if read:
                    break
                asked, empty = open_, set()
                wait = max(0.0, min(left, 0.05))
            else:
                wait = 0.0
            kind = min(asked, key=lambda one: one.newest)
            taken = kind.take(min(AT_ONCE, config.batch_rows), wait)
            if taken is None:
                empty.add(kind.name)
                continue
            found.setdefault(kind.name, []).append(taken)
            read += taken.counts["read"]
        return {name: _together(some) for name, some in found.items()}, read

    def _advance(self, taken: dict[str, tuple[pa.RecordBatch, np.ndarray]], watermark: int) -> None:
        number = self.joiner.steps
        step = self.joiner.advance(taken, watermark)
        assert self.sink is not None
        note = self.sink.prepare(number, step.samples, step.times) if step.samples.num_rows else b""
        self._meta["kinds"] = {kind.name: kind.told() for kind in self.kinds}
        keys = [*step.puts, *step.deletes]
        values = [*step.puts.values(), *(b"" for _ in step.deletes)]
        changes: Changes = [
            (ROWS, [key.encode() for key in keys], values),
            (META, [MAIN, NOTE], [json.dumps(self._meta).encode(), note]),
        ]
        self.state.commit(changes)
        if note:
            self.sink.publish(note)

    def _opened(self) -> Sink:
        """Where samples go, with those that were committed last."""
        # It is known before anything is written, so that what is left behind by a stop is known to be its own.
        self.state.commit([(META, [MAIN], [json.dumps(self._meta).encode()])])
        sink: Sink = self.config.output.open(self._meta["writer"], self.config.keys)
        note = self.state.get(META, [NOTE])[0]
        if note is not None:
            sink.publish(note, again=True)
        sink.forget()
        return sink

    def _kept(self) -> list[tuple[str, bytes]]:
        return [(key.decode(), value) for key, value in every(self.state, ROWS)]

    def _snapshot(self, config: StoreConfig | None) -> tuple[Snapshot, pa.Schema] | None:
        model = self.config.exposures.features
        if model is None or config is None or self.online is None:
            return None
        made = Snapshot(config, self.online, model, list(self.config.exposures.columns))
        return made, made.schema

    def _read(self, text: bytes | None) -> dict[str, Any]:
        """What the state says of the samples.

        Raises:
            StoreError: It is of other definitions, or of another version of this program.
        """
        config = self.config
        events = {
            "columns",
            "event_time",
            "time_unit",
            "where",
            "id",
            "keep",
            "features",
            "name",
            "of",
            "keys",
            "window",
        }
        told = [
            config.keys,
            config.wait_micros,
            *(one.model_dump(mode="json", include=events) for one in (config.exposures, *config.labels)),
        ]
        begun: dict[str, Any] = {"writer": secrets.token_hex(4), "kinds": {}}
        return read_meta(text, self.state.shown, "joined", told, begun, f"samples '{config.name}'", "join")


class _Kind:
    """Events of one kind as they come.

    Attributes:
        name: `exposure`, or the label's.
        newest: The latest event time.
    """

    def __init__(
        self, name: str, config: EventsConfig, keys: list[str], told: Any, until_end: bool, clock: Callable[[], float]
    ) -> None:
        self.name = name
        self.watermarks = _Unjudged(round(config.lateness * 1e6), config.idle, told["newest"])
        needed = [*keys, *([config.id] if config.id is not None else [])]
        letters = None if config.dead_letters is None else DeadLetters(Path(config.dead_letters))
        self.intake = Intake(config, self.watermarks, None, needed, letters, clock)
        self.counts = Counter[str](told["counts"])
        self.offsets: dict[str, Offset] = dict(told["offsets"])
        self.source = config.source.open(config.schema, until_end=until_end)
        self.source.seek(self.offsets)
        self._idle, self._heard = config.idle, time.monotonic()

    @property
    def newest(self) -> int:
        return max(self.watermarks.newest.values(), default=BEGIN)

    @property
    def watermark(self) -> int:
        if self.source.ended and not self.watermarks.newest and self.name != EXPOSURE:  # nothing ever followed
            return END
        if self.name != EXPOSURE and self._idle and time.monotonic() - self._heard >= self._idle:
            return END  # what follows exposures, and is not heard of, does not hold them up
        return self.watermarks.current(self.source.partitions, time.monotonic())

    def take(self, most: int, seconds: float) -> Taken | None:
        """The next events, None where there are none."""
        events = self.source.poll(most, seconds)
        if not events:
            return None
        self._heard = time.monotonic()
        self.offsets.update({one.partition: one.offset for one in events})
        taken = self.intake.take(events)
        self.counts.update(taken.counts)
        return taken

    def told(self) -> dict[str, Any]:
        """What the state keeps of it."""
        return {"offsets": self.offsets, "newest": self.watermarks.newest, "counts": dict(self.counts)}


class _Unjudged(Watermarks):
    """Watermarks that call no event late: the joiner judges by the watermark of all kinds."""

    def late(self, partition: str, times: np.ndarray, now: float) -> np.ndarray:
        """None of them."""
        return np.zeros_like(super().late(partition, times, now))


def _together(some: list[Taken]) -> tuple[pa.RecordBatch, np.ndarray]:
    rows = pa.Table.from_batches([one.rows for one in some]).combine_chunks().to_batches()
    return (rows[0] if rows else some[0].rows), np.concatenate([one.times for one in some])


def _named(config: StoreConfig, name: str) -> SampleConfig:
    found = next((one for one in config.samples if one.name == name), None)
    if found is None:
        known = [one.name for one in config.samples]
        raise StoreError(f"unknown samples '{name}'{nearest(name, known)}; known: {', '.join(known) or 'none'}")
    return found


def _default_state() -> Any:
    from easyrec.stream.state.sqlite import Config  # noqa: PLC0415 (only where nothing is named)

    return Config()
