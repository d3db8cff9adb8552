"""Exposures and what followed them become samples as a watermark passes. Batches in, batches out.

What follows belongs to the latest exposure of its key at or before it, within a window; of several at one time to the one
whose id is the greatest as text. A click is given to an exposure when the watermark has passed the click, because only then
no exposure may come between them; a sample is made when the watermark has passed the exposure's time and the wait. So what
is made does not depend on the order in which events come, as long as none comes behind the watermark.

All that is kept follows from what was taken in and from the watermark: the state is a log of steps, each of which is let go
of when its events are past.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from easyrec.errors import StoreError
from easyrec.store.samples import CORRECTION, Label, SampleConfig
from easyrec.store.streams import EventsConfig
from easyrec.stream.timeline import LAZY, Columns, Rows, Seen, Timeline
from feature_generator import native

EXPOSURE = "exposure"
BEGINNING, END = -(1 << 62), 1 << 62
"""Watermarks before and after all events."""
SECRET = b"easyrec samples "
TIME = pa.timestamp("us", "UTC")
NAME, AT, PRINT, KEY = "__name", "__time", "__print", "__key"
"""Columns that rows of the state have beside their own; `__key<i>`: by which those that follow find them."""
LOG = pa.schema([("label", pa.int8()), ("number", pa.int64()), ("to", pa.int64()), ("time", pa.int64())])
"""What the state keeps of matches: an event of a label, by number, its exposure, and its time."""

Snapshot = Callable[[pa.RecordBatch], pa.RecordBatch]
"""Adds columns to exposures that have come."""


@dataclass(frozen=True)
class Step:
    """What follows from the events of a step; it holds once it is committed.

    Attributes:
        samples: Rows that were made.
        times: (rows,) int64: when their exposures were shown.
        puts: What the state keeps from now on.
        deletes: What it need not keep any more.
    """

    samples: pa.Table
    times: np.ndarray
    puts: dict[str, bytes]
    deletes: list[str]


class Joiner:
    """Joins the events of one kind of samples.

    Args:
        config: What is joined.
        snapshot: Adds features to exposures as they come, and the columns that it adds.

    Attributes:
        watermark: Events before it are late.
        counts: What came, was made, and was left out.
        steps: How many there were.
    """

    def __init__(self, config: SampleConfig, snapshot: tuple[Snapshot, pa.Schema] | None = None) -> None:
        self.config = config
        self.watermark = BEGINNING
        self.counts: Counter[str] = Counter()
        added = [] if snapshot is None else list(snapshot[1])
        self._snapshot = None if snapshot is None else snapshot[0]
        kept = [config.exposures.schema.field(name) for name in config.exposures.kept]
        self._own = pa.schema([*kept, *added])
        self._keep = config.correct_micros
        self._span = max(config.horizon(), config.wait_micros) + self._keep
        self._exposed = _Exposed(len(config.labels))
        self._inputs = {EXPOSURE: _Input(EXPOSURE, config.exposures, config.keys, self._keys_below(None))}
        for label in config.labels:
            self._inputs[label.name] = _Input(label.name, label, config.keys_of(label), self._keys_below(label.name))
        self.steps = 0
        self._until: dict[str, int] = {}  # the latest event of each part of the state

    @property
    def schema(self) -> pa.Schema:
        """Columns of samples."""
        labels = [(name, kind) for one in self.config.labels for name, kind in _columns_of(one)]
        return pa.schema([*self._own, *labels, (CORRECTION, pa.bool_())])

    @property
    def waiting(self) -> int:
        """Exposures whose samples are still to be made."""
        return int(np.count_nonzero(~self._exposed.made))

    def advance(self, events: Mapping[str, tuple[pa.RecordBatch, np.ndarray]], watermark: int) -> Step:
        """Take events in, and make what the watermark lets be made.

        Args:
            events: By `exposure` or a label's name: their columns, of which ids and keys are never null, and times.
            watermark: Microseconds since 1970: from now on events before it are late.
        """
        puts: dict[str, bytes] = {}
        late = {name for name, (rows, times) in events.items() if self._take(self._inputs[name], rows, times, puts)}
        now = max(self.watermark, watermark)
        was_made = self._exposed.made.copy()
        touched = np.zeros(len(was_made), bool)
        log = []
        for index, label in enumerate(self.config.labels):
            matched, to = self._match(label, now, late)
            if not len(matched["number"]):
                continue
            log.append(_record(LOG, np.full(len(to), index, np.int8), matched["number"], to, matched["time"]))
            at = to - self._exposed.first
            if self.config.late == "drop":
                behind = was_made[at] | (matched["time"] > self._exposed.time[at] + self.config.wait_micros)
                self._count(f"{label.name}.late", int(np.count_nonzero(behind)))
                matched, at = {name: values[~behind] for name, values in matched.items()}, at[~behind]
            self._exposed.follow(index, at, matched["time"])
            touched[at] = True
        if log:
            whole = pa.Table.from_batches(log).combine_chunks().to_batches()[0]
            self._put(puts, f"match/{self.steps:020d}", whole, int(pc.max(whole["time"]).as_py()))
        samples, times = self._made(now, touched & was_made)
        self.watermark, self.steps = now, self.steps + 1
        deletes = self._forget()
        puts["joiner"] = json.dumps(
            {
                "watermark": now,
                "steps": self.steps,
                "next": {name: one.rows.next for name, one in self._inputs.items()},
                "counts": self.counts,
            }
        ).encode()
        return Step(samples, times, {key: value for key, value in puts.items() if key not in deletes}, deletes)

    def restore(self, items: Iterable[tuple[str, bytes]]) -> None:
        """Be what was committed.

        Args:
            items: What the state keeps, in the order of the keys.

        Raises:
            StoreError: It was made by other definitions.
        """
        kept = dict(items)
        if "joiner" not in kept:
            return
        told = json.loads(kept.pop("joiner"))
        if set(told["next"]) != set(self._inputs):
            raise StoreError(f"samples '{self.config.name}': the state was made with other labels; name another state")
        self.watermark, self.steps, self.counts = told["watermark"], told["steps"], Counter(told["counts"])
        matches = []
        for key, value in sorted(kept.items()):
            kind, _, number = key.partition("/")
            batch = pa.ipc.open_stream(value).read_all().combine_chunks().to_batches()[0]
            self._until[key] = int(pc.max(batch["time" if kind == "match" else AT]).as_py())
            if kind == "match":
                matches.append(batch)
                continue
            one = self._inputs[kind]
            one.seen.first(batch[PRINT].to_numpy(), batch[AT].to_numpy())
            self._keep_rows(one, batch, int(number))
        for name, number in told["next"].items():
            self._inputs[name].rows.next = number
        self._restore_matches(matches)
        self._exposed.made |= self._exposed.time + self.config.wait_micros < self.watermark
        for one in self._inputs.values():
            one.split(self.watermark)
        self._forget()

    # ------------------------------------------------------------------------------------------- intake

    def _keys_below(self, name: str | None) -> list[tuple[str, ...]]:
        """The sets of columns by which those that follow find these events."""
        return list(dict.fromkeys(tuple(self.config.keys_of(child)) for child in self.config.children_of(name)))

    def _take(self, one: _Input, batch: pa.RecordBatch, times: np.ndarray, puts: dict[str, bytes]) -> bool:
        """Keep the events that count; says whether late ones were among them."""
        rows = one.described(batch, times)
        oldest = self.watermark - (self._span if one.name != EXPOSURE else self._keep)
        if times.size and times.min() < oldest:
            self._count(f"{one.name}.late", int(np.count_nonzero(times < oldest)))
            rows = rows.filter(pa.array(times >= oldest))
        fresh = one.seen.first(rows[PRINT].to_numpy(), rows[AT].to_numpy())
        self._count(f"{one.name}.duplicates", int(np.count_nonzero(~fresh)))
        rows = rows if fresh.all() else rows.filter(pa.array(fresh))
        if not rows.num_rows:
            return False
        if one.name == EXPOSURE:
            if self._snapshot is not None:
                rows = self._snapshot(rows)
            technical = [name for name in rows.schema.names if name.startswith("__")]
            rows = rows.select([*technical, *self._own.names])
        number = one.rows.next
        self._keep_rows(one, rows, number)
        times = rows[AT].to_numpy()
        self._put(puts, f"{one.name}/{number:020d}", rows, int(times.max()))
        return bool(times.min() < self.watermark)

    def _keep_rows(self, one: _Input, rows: pa.RecordBatch, number: int) -> None:
        """Have rows in memory, from a number on."""
        plain = [name for name in rows.schema.names if not name.startswith("__")]
        numbers = one.rows.add(rows.select([NAME, *plain]), number)
        time = rows[AT].to_numpy()
        if one.name == EXPOSURE:
            self._exposed.add(number, time)
            for place, timeline in enumerate(one.timelines):
                timeline.add({"key": rows[f"{KEY}{place}"].to_numpy(), "time": time, "number": numbers})
            return
        below = {f"{KEY}{place}": rows[f"{KEY}{place}"].to_numpy() for place in range(len(one.timelines))}
        one.wait({"key": rows[KEY].to_numpy(), "time": time, "number": numbers, **below})

    def _put(self, puts: dict[str, bytes], key: str, rows: pa.RecordBatch, newest: int) -> None:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
            writer.write_batch(rows)
        puts[key] = sink.getvalue().to_pybytes()
        self._until[key] = newest

    def _count(self, name: str, number: int) -> None:
        if number:
            self.counts[name] += number

    # ------------------------------------------------------------------------------------------ matching

    def _match(self, label: Label, now: int, late: set[str]) -> tuple[Columns, np.ndarray]:
        """The events of a label that are found to follow an exposure, and its number."""
        one, parent = self._inputs[label.name], self._inputs[label.of or EXPOSURE]
        ripe = one.ripe(now, again=parent.name in late)
        timeline = parent.timelines[parent.below.index(tuple(one.keys))]
        place = timeline.find(ripe["key"], ripe["time"])
        found = place >= 0
        time = np.where(found, timeline.columns["time"][place] if len(timeline) else 0, BEGINNING)
        found &= time >= np.maximum(ripe["time"] - label.window_micros, self.watermark - self._span)
        of = "number" if label.of is None else "of"
        to = timeline.columns[of][place[found]]
        # An exposure that is past has been let go of, or will be: what follows late finds it no more.
        alive = to >= self._exposed.first
        alive[alive] = self._exposed.time[to[alive] - self._exposed.first] >= self.watermark - self._span
        found[found], to = alive, to[alive]
        lost = {name: values[~found] for name, values in ripe.items()}
        if self._keep:
            one.unmatched = _joined(one.unmatched, lost)
        else:
            self._count(f"{label.name}.unmatched", len(lost["key"]))
        matched = {name: values[found] for name, values in ripe.items()}
        one.found(matched, to)
        if len(to) and matched["time"].min() < self.watermark:
            late.add(label.name)
        return matched, to

    def _restore_matches(self, matches: Sequence[pa.RecordBatch]) -> None:
        whole = pa.Table.from_batches(matches, LOG)
        label, number, to = (whole[name].to_numpy() for name in LOG.names[:3])
        for index, config in enumerate(self.config.labels):
            one, own = self._inputs[config.name], label == index
            matched, there = one.taken(number[own])
            exposure = to[own][there]
            one.found(matched, exposure)
            alive = exposure >= self._exposed.first
            self._exposed.follow(index, exposure[alive] - self._exposed.first, matched["time"][alive])

    # ------------------------------------------------------------------------------------------- samples

    def _made(self, now: int, corrected: np.ndarray) -> tuple[pa.Table, np.ndarray]:
        """Samples that are due, and those that are made again; and when their exposures were shown."""
        exposed = self._exposed
        due = np.flatnonzero(~exposed.made & (exposed.time < now - self.config.wait_micros))
        due = due[np.argsort(exposed.time[due], kind="stable")]
        exposed.made[due] = True
        again = np.flatnonzero(corrected)
        at = np.concatenate([due, again])
        self._count("samples", len(due))
        self._count("corrections", len(again))
        if not len(at):
            return self.schema.empty_table(), exposed.time[at]
        table = self._inputs[EXPOSURE].rows.take(at + exposed.first).select(self._own.names)
        for index, label in enumerate(self.config.labels):
            positive = exposed.count[at, index] > 0
            self._count(f"{label.name}.positives", int(np.count_nonzero(positive[: len(due)])))
            when = pa.array(exposed.when[at, index], pa.int64(), mask=~positive).cast(TIME)
            for (name, _), values in zip(_columns_of(label), (pa.array(positive.astype(np.int32)), when), strict=True):
                table = table.append_column(name, values)
        return table.append_column(CORRECTION, pa.array(np.arange(len(at)) >= len(due))), exposed.time[at]

    # ------------------------------------------------------------------------------------------- forgetting

    def _forget(self) -> list[str]:
        """Let go of what is past, and give the keys of what the state need not keep."""
        oldest = self.watermark - self._span
        self._exposed.forget(oldest)
        for one in self._inputs.values():
            lost = one.forget(oldest, self.watermark - self._keep)
            self._count(f"{one.name}.unmatched", lost)
        self._inputs[EXPOSURE].rows.forget(self._exposed.first)
        past = [key for key, newest in self._until.items() if newest < oldest]
        for key in past:
            del self._until[key]
        return past


class _Input:
    """Events of one kind.

    Attributes:
        name: What they are called.
        keys: Columns by which they find what they follow.
        below: Sets of columns by which those that follow find them.
        rows: Their names, and all that is kept of exposures.
        seen: Which have come.
        timelines: For each of `below`, those that may be followed.
        waiting: Key, time, number and keys for `below` of events that the watermark has not passed.
        unmatched: The same of those that found nothing to follow, which may still come.
    """

    def __init__(self, name: str, config: EventsConfig, keys: Sequence[str], below: Sequence[tuple[str, ...]]) -> None:
        self.name, self.keys, self.below = name, list(keys), list(below)
        self._config = config
        self.rows, self.seen = Rows(), Seen()
        self.timelines = [Timeline(self.rows, [] if name == EXPOSURE else ["of"]) for _ in below]
        self._names = ["key", "time", "number", *(f"{KEY}{place}" for place in range(len(below)))]
        self.waiting = self.unmatched = self._empty()

    def described(self, batch: pa.RecordBatch, times: np.ndarray) -> pa.RecordBatch:
        """The names, times, prints and keys of events; of exposures with their columns."""
        texts = [batch[name].cast(pa.string()) for name in self.keys]
        config = self._config
        name = batch[config.id].cast(pa.string()) if config.id else pc.binary_join_element_wise(*texts, "\x1f")
        made = {NAME: name, AT: times, PRINT: prints([name] if config.id else [name, times])}
        if self.name != EXPOSURE:
            made[KEY] = prints(texts)
        for place, columns in enumerate(self.below):
            made[f"{KEY}{place}"] = prints([batch[column].cast(pa.string()) for column in columns])
        if self.name == EXPOSURE:
            made |= dict(zip(batch.schema.names, batch.columns, strict=True))
        return pa.RecordBatch.from_pydict(made)

    def wait(self, events: Columns) -> None:
        """Add events that wait for the watermark."""
        self.waiting = _joined(self.waiting, events)

    def ripe(self, now: int, *, again: bool) -> Columns:
        """Events that wait no more; with those that were not matched, if they are to be tried again."""
        passed = self.waiting["time"] < now
        found = {name: values[passed] for name, values in self.waiting.items()}
        self.waiting = {name: values[~passed] for name, values in self.waiting.items()}
        if again and len(self.unmatched["key"]):
            found, self.unmatched = _joined(found, self.unmatched), self._empty()
        return found

    def found(self, matched: Columns, to: np.ndarray) -> None:
        """Let those that follow find events that follow exposures of some numbers."""
        for place, timeline in enumerate(self.timelines):
            plain = {"time": matched["time"], "number": matched["number"], "of": to}
            timeline.add({"key": matched[f"{KEY}{place}"], **plain})

    def taken(self, numbers: np.ndarray) -> tuple[Columns, np.ndarray]:
        """Those of the waiting events that have some numbers, which wait no more; and which of the numbers these are."""
        own = self.waiting["number"]
        at = np.searchsorted(own, numbers)
        there = at < len(own)
        there[there] = own[at[there]] == numbers[there]
        rest = np.ones(len(own), bool)
        rest[at[there]] = False
        found = {name: values[at[there]] for name, values in self.waiting.items()}
        self.waiting = {name: values[rest] for name, values in self.waiting.items()}
        return found, there

    def split(self, watermark: int) -> None:
        """Tell waiting events that the watermark has passed as unmatched."""
        self.unmatched = self.ripe(watermark, again=False)

    def forget(self, oldest: int, lost: int) -> int:
        """Let go of events before `oldest`, and of unmatched ones before `lost`, whose number is given."""
        self.seen.forget(oldest)
        for timeline in self.timelines:
            timeline.forget(oldest)
        late = self.unmatched["time"] >= lost
        gone = len(late) - int(np.count_nonzero(late))
        if gone:
            self.unmatched = {name: values[late] for name, values in self.unmatched.items()}
        if self.name != EXPOSURE:
            held = [self.waiting, self.unmatched, *(timeline.columns for timeline in self.timelines)]
            self.rows.forget(min(int(one["number"].min(initial=self.rows.next)) for one in held))
        return gone

    def _empty(self) -> Columns:
        kinds = {"time": np.int64, "number": np.int64}
        return {name: np.empty(0, kinds.get(name, np.uint64)) for name in self._names}


class _Exposed:
    """Exposures by number, and what followed each.

    Args:
        labels: How many kinds of events may follow.

    Attributes:
        first: Number of the first one that is kept.
        time: (n,) when they were shown.
        made: (n,) whether their sample was made.
        count: (n, labels) how many events followed.
        when: (n, labels) the time of the first one.
    """

    def __init__(self, labels: int) -> None:
        self.first = 0
        self.time, self.made = np.empty(0, np.int64), np.empty(0, bool)
        self.count, self.when = np.empty((0, labels), np.int32), np.empty((0, labels), np.int64)

    def add(self, number: int, time: np.ndarray) -> None:
        """Add those from a number on; numbers that are left out are past."""
        if not len(self.time):
            self.first = number
        gap = number - self.first - len(self.time)
        labels = self.count.shape[1]
        self.time = np.concatenate([self.time, np.full(gap, BEGINNING), time])
        self.made = np.concatenate([self.made, np.ones(gap, bool), np.zeros(len(time), bool)])
        self.count = np.concatenate([self.count, np.zeros((gap + len(time), labels), np.int32)])
        self.when = np.concatenate([self.when, np.full((gap + len(time), labels), END)])

    def follow(self, label: int, at: np.ndarray, time: np.ndarray) -> None:
        """Count events that follow those at some places."""
        np.add.at(self.count[:, label], at, 1)
        np.minimum.at(self.when[:, label], at, time)

    def forget(self, oldest: int) -> None:
        """Let go of the first ones whose times are past, now or later."""
        alive = self.time >= oldest
        gone = int(alive.argmax()) if alive.any() else len(alive)
        if gone * LAZY > len(alive):
            self.first += gone
            self.time, self.made = self.time[gone:], self.made[gone:]
            self.count, self.when = self.count[gone:], self.when[gone:]


def prints(columns: Sequence[Any]) -> np.ndarray:
    """(rows,) uint64: a hash of each row."""
    batch = pa.RecordBatch.from_arrays([pa.array(one) for one in columns], [str(n) for n in range(len(columns))])
    found: np.ndarray = native.row_prints(batch, SECRET)[:, 0]
    return found


def _joined(one: Columns, other: Columns) -> Columns:
    return {name: np.concatenate([values, other[name]]) for name, values in one.items()}


def _columns_of(label: Label) -> list[tuple[str, pa.DataType]]:
    """Columns of samples that a label gives."""
    return [(label.name, pa.int32()), (f"{label.name}_time", TIME)]


def _record(schema: pa.Schema, *columns: np.ndarray) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(one) for one in columns], schema=schema)
