"""`Loader`: batches from a source, mixed, made ahead in a thread, and resumed at any batch.

Units are read in an order drawn from (seed, epoch) and cut into chunks. Chunks are collected into a block; the
rows of a block, or the runs of rows that stay together, are permuted by (seed, epoch, start of the block) and dealt
out as batches. So a position is the
start of a block and a number of rows in it, and to resume is to read that one block again.
"""

from __future__ import annotations

import itertools
import time
import weakref
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from easyrec.data.batch_cost import BatchCost, affordable
from easyrec.data.gathering import Gathering
from easyrec.data.intake import Demand, Intake
from easyrec.data.order import Order
from easyrec.data.prefetch import Prefetch
from easyrec.data.report import Report
from easyrec.data.rows import Rows
from easyrec.errors import ConfigError, DataError, Problem
from easyrec.processors import num_processors

if TYPE_CHECKING:
    from easyrec.batch import Batch
    from easyrec.config.data import Shuffle
    from easyrec.data.matching import Matcher
    from easyrec.data.sources import Source, Unit
    from feature_generator import FeatureGenerator

CHUNK_ROWS = 1 << 14
"""Rows that go through the generator at once: enough to hide the cost of a call, few enough for the cache."""


IDLE_SECONDS = 1.0
"""Whoever waits for a batch is asked as often whether to go on."""


@dataclass(frozen=True)
class Position:
    """Where the next row is.

    Attributes:
        unit: Place in the epoch's order of units of the block's first row.
        row: Row inside that unit.
        taken: Rows of the block that were dealt out, in the block's own order.
        before: What was read in this epoch before the block.
    """

    unit: int = 0
    row: int = 0
    taken: int = 0
    before: Report = field(default_factory=Report)


@dataclass
class _Block:
    """Chunks that are permuted together."""

    start: Position
    end: Position
    chunks: list[Rows] = field(default_factory=list)
    report: Report = field(default_factory=Report)
    rows: int = 0
    nbytes: int = 0

    def add(self, chunk: _Chunk) -> None:
        self.report += chunk.report
        if chunk.rows is not None:
            self.chunks.append(chunk.rows)
            self.rows += len(chunk.rows)
            self.nbytes += chunk.rows.nbytes
        self.end = replace(chunk.end, before=self.start.before + self.report)


@dataclass(frozen=True)
class _Chunk:
    rows: Rows | None
    report: Report
    end: Position


@dataclass(frozen=True)
class _Step:
    """What travels from the thread to the consumer."""

    batch: Batch | None
    after: Position
    report: Report
    earlier: tuple[np.ndarray, ...] = ()


class Loader:
    """The batches of one part of the data, epoch by epoch.

    Each `iter` yields the rest of the running epoch, from `state` on; the next `iter` starts the next epoch. The one epoch
    of an endless source has no end, and its rows are mixed inside of a unit alone: what follows is not there yet.

    Args:
        source: Where rows come from.
        generator: Makes the features.
        demand: Which rows and columns are wanted.
        batch_size: Rows per batch; the last one of an epoch has what remains, and where rows stay together most have
            some less.
        shuffle: How rows are mixed; None reads them in order. The column of rows that stay together must be among the
            reserved ones.
        seed: Same seed, same order.
        shard: (i, n): this loader is the i-th of n that share the epoch's units.
        prefetch: Batches made ahead.
        merge_single: Give a last batch of one row to the batch before it, for models that need a variance.
        cost: Bounds what the rows of a batch cost together; batches then have no more than `batch_size` rows.
        drop_last: Leave out what remains at the end of an epoch for less than a batch.
        matcher: Gives the batches items that their users are compared with.
        may_be_empty: Whether shards may be without rows, where there are fewer units than shards.

    Attributes:
        idle: Called every second while a batch is waited for; what it raises ends the iteration.

    Raises:
        ConfigError: The source lacks a column, or has fewer units than there are shards.
    """

    def __init__(
        self,
        source: Source,
        generator: FeatureGenerator,
        demand: Demand,
        *,
        batch_size: int,
        shuffle: Shuffle | None = None,
        seed: int = 0,
        shard: tuple[int, int] = (0, 1),
        prefetch: int = 4,
        merge_single: bool = False,
        matcher: Matcher | None = None,
        cost: BatchCost | None = None,
        drop_last: bool = False,
        may_be_empty: bool = False,
    ) -> None:
        self.source = source.share(shard) if source.endless else source
        self.generator, self.demand = generator, demand
        self.batch_size, self.shuffle, self.seed, self.shard = batch_size, shuffle, seed, shard
        self.prefetch, self.merge_single, self.matcher = prefetch, merge_single, matcher
        self.cost, self.drop_last = cost, drop_last
        self.idle: Callable[[], None] | None = None
        self._intake = Intake(self.source, generator, demand)
        self._units = self._wanted_units()
        if len(self._units) < shard[1] != 1 and not source.endless and not may_be_empty:
            count = f"{len(self._units)} unit{'s' * (len(self._units) != 1)} (row groups, files)"
            text = f"{count} cannot be shared by {shard[1]} workers: write smaller row groups, or more files"
            raise ConfigError([Problem(text, "data")])
        self._epoch, self._position, self._report = 0, Position(), Report()
        self._earlier: tuple[np.ndarray, ...] = ()  # what the matcher keeps of batches before the position
        self._memory = Gathering()
        self._counted: tuple[int, int | None] | None = None
        self._identity = self._describe()
        self.spent = {"reading": 0.0, "features": 0.0, "batches": 0.0}
        """Seconds that the thread behind it was busy, by what it did."""
        self._ahead: Prefetch[_Step] | None = None
        self._running: weakref.ref[Generator[Batch]] | None = None  # weak: who drops the iterator ends its thread

    @property
    def columns(self) -> list[str]:
        """Raw columns that are read."""
        return self._intake.columns

    @property
    def epoch(self) -> int:
        """The running epoch, from 0."""
        return self._epoch

    @property
    def report(self) -> Report:
        """What was read in the epoch that runs or has just ended, up to the batch that was yielded last."""
        return self._report

    @property
    def num_rows(self) -> int | None:
        """Rows of one epoch of this shard, None where only reading tells."""
        if self.source.endless:
            return None
        if self.demand.predicate is not None or self.demand.negatives is not None or self.demand.bad_rows == "skip":
            return None
        if self._counted is None or self._counted[0] != self._epoch:
            rows = [self._units[i].rows for i in self._order(self._epoch)]
            self._counted = self._epoch, None if None in rows else sum(r for r in rows if r is not None)
        return self._counted[1]

    @property
    def num_batches(self) -> int | None:
        """Batches of one epoch of this shard, None where only reading tells."""
        rows = None if self.cost is not None else self.num_rows
        if rows is None:
            return None
        return rows // self.batch_size if self.drop_last else -(-rows // self.batch_size)

    @property
    def upcoming(self) -> Batch | None:
        """The batch that comes next, where it is made already."""
        step = None if self._ahead is None else self._ahead.peek()
        return None if step is None else step.batch

    def nothing(self) -> Batch:
        """A batch of no rows."""
        from easyrec.batch import Batch  # noqa: PLC0415 (torch comes with the first batch, not with the import)

        rows = self._intake.nothing()
        batch = Batch.of(rows.table, rows.labels, rows.sample_weight, rows.reserved, self.generator.outputs)
        return batch if self.matcher is None else self.matcher.nothing(batch)

    def state(self) -> dict[str, Any]:
        """The position of the next batch, as plain JSON."""
        at = self._position
        state = {
            "epoch": self._epoch,
            "unit": at.unit,
            "row": at.row,
            "taken": at.taken,
            "before": at.before.to_json(),
            "data": self._identity,
        }
        pinned = self.pinned()
        if pinned is not None:
            state["source"] = pinned
        return state | ({"earlier": [items.tolist() for items in self._earlier]} if self._earlier else {})

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go to a position that `state` gave; the next batch is the one that followed it.

        Raises:
            DataError: The state is of other data, another seed, or another share of it.
        """
        self.close()
        if "source" in state:
            self.pin(state["source"])
        ours = self._identity
        for key, value in dict(state["data"]).items():
            if ours.get(key) != value:
                raise DataError(f"cannot resume: {key} was {value} and is {ours.get(key)}")
        self._epoch = int(state["epoch"])
        self._position = Position(
            int(state["unit"]), int(state["row"]), int(state["taken"]), Report.from_json(state["before"])
        )
        self._report = self._position.before
        self._earlier = tuple(np.array(items, np.int64) for items in state.get("earlier", ()))

    def load_states(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Go to where several workers were, of which this loader's shard is one; in an epoch's beginning, of any number.

        Args:
            states: What `state` gave on each.

        Raises:
            DataError: They are of other data; or of another number of workers in the middle of an epoch.
        """
        rank, size = self.shard
        if len(states) == size:
            self.load_state(states[rank])
            return
        begun = [s for s in states if s["unit"] or s["row"] or s["taken"] or s["epoch"] != states[0]["epoch"]]
        if begun:
            were = f"{len(states)} worker{'s' * (len(states) > 1)}"
            text = f"cannot resume: the epoch was begun by {were}, and there {'are' if size > 1 else 'is'} {size} now"
            raise DataError(f"{text}\nresume with {were}, until the epoch's end at least")
        data = {**dict(states[0]["data"]), "the shard": list(self.shard)}
        self.load_state({**states[0], "data": data})

    def pinned(self) -> dict[str, Any] | None:
        """What the source is pinned to, as far as batches after the position are made of it; see `Source.pinned`."""
        return self.source.pinned(self._position.unit if self.source.endless else 0)

    def pin(self, state: Mapping[str, Any]) -> None:
        """Have the units that another loader's source had.

        Raises:
            DataError: They are of other rows, or are there no longer.
        """
        self.close()
        self.source.pin(state)
        self._units, self._counted = self._wanted_units(), None
        self._identity = self._describe()

    def __iter__(self) -> Iterator[Batch]:
        self.close()
        running = self._batches()
        self._running = weakref.ref(running)
        return running

    def close(self) -> None:
        """End the running iteration and its thread; its position stays."""
        running = None if self._running is None else self._running()
        if running is not None:
            running.close()

    def _batches(self) -> Generator[Batch]:
        if self.matcher is not None:
            self.matcher.sampler.earlier = self._earlier
        self._ahead = ahead = Prefetch(self._steps(self._epoch, self._position), self.prefetch)
        try:
            for step in self._awaited(ahead):
                self._position, self._report, self._earlier = step.after, step.report, step.earlier
                if step.batch is not None:
                    yield step.batch
            self._epoch, self._position = self._epoch + 1, Position()
        finally:
            self._ahead = None
            ahead.close()

    def _awaited(self, ahead: Prefetch[_Step]) -> Iterator[_Step]:
        while True:
            while not ahead.ready(IDLE_SECONDS):
                if self.idle is not None:
                    self.idle()
            step = next(ahead, None)
            if step is None:
                return
            yield step

    # ------------------------------------------------------------------------------- inside the thread

    def _steps(self, epoch: int, start: Position) -> Iterator[_Step]:
        from easyrec.batch import Batch  # noqa: PLC0415 (torch comes with the first batch, not with the import)

        outputs = self.generator.outputs
        for rows, after, report in self._dealt(epoch, start):
            batch, began = None, time.perf_counter()
            if rows is not None and self.matcher is not None:
                batch = self.matcher(rows, outputs, (epoch, after.unit, after.row, after.taken))
            elif rows is not None:
                batch = Batch.of(rows.table, rows.labels, rows.sample_weight, rows.reserved, outputs)
            self.spent["batches"] += time.perf_counter() - began
            yield _Step(batch, after, report, () if self.matcher is None else self.matcher.sampler.earlier)

    def _dealt(self, epoch: int, start: Position) -> Iterator[tuple[Rows | None, Position, Report]]:
        """Rows of each batch, the position after it and the report up to it; at last (None, end, report)."""
        held: tuple[Rows, Position, Report] | None = None
        for rows, after, report in self._cut(epoch, start):
            if rows is None or not self.merge_single or self.source.endless:  # which has no last batch
                if held is not None:
                    yield held
                yield rows, after, report
                continue
            if held is not None and len(rows) == 1 < self.batch_size:  # only an epoch's last batch is so short
                rows = Rows.concat([held[0], rows])  # noqa: PLW2901 (the held batch goes out with it)
            elif held is not None:
                yield held
            held = rows, after, report

    def _cut(self, epoch: int, start: Position) -> Iterator[tuple[Rows | None, Position, Report]]:
        """The blocks' rows in pieces of a batch."""
        chunks = self._chunks(epoch, start)
        block, taken = _Block(replace(start, taken=0), replace(start, taken=0)), start.taken
        # Whoever trains waits for the first block and leaves its processors idle; for the next ones it does not.
        self._intake.threads = max(self.demand.threads, num_processors())
        self._fill(block, chunks)
        self._intake.threads = self.demand.threads
        carry: list[Rows] = []
        most_cost = 0 if self.cost is None else self.cost.most
        missing, left = self.batch_size, most_cost
        while block.rows:
            rows = self._memory.concat(block.chunks)
            block.chunks = []
            order = self._row_order(epoch, block, rows)
            before = None if self.cost is None else self.cost.before(rows.table, order.rows)
            upcoming = _Block(block.end, block.end)
            while taken < block.rows:
                most = min(taken + missing, block.rows)
                if before is not None:
                    most = min(most, max(affordable(before, taken, left), taken + (not carry)))
                stop = order.stop(taken, most)
                if stop == taken and carry:  # what comes next fits behind the rows of the block before no more
                    yield Rows.concat(carry), block.start, block.start.before
                    carry, missing, left = [], self.batch_size, most_cost
                    continue
                stop = stop if stop > taken else most  # more rows belong together than a batch may have
                carry.append(rows.slice(taken, stop) if order.rows is None else rows.take(order.rows[taken:stop]))
                if before is not None:
                    left -= int(before[stop] - before[taken])
                missing, taken = missing - (stop - taken), stop
                if missing == 0 or taken < block.rows:
                    after = replace(block.start, taken=taken) if taken < block.rows else block.end
                    yield Rows.concat(carry), after, block.end.before
                    carry, missing, left = [], self.batch_size, most_cost
                # The next block grows as this one shrinks, so that the consumer never waits for a whole one; of an
                # endless source it may not be there yet, and this one goes first.
                while upcoming.rows < taken and not self._full(upcoming) and not self.source.endless:
                    chunk = next(chunks, None)
                    if chunk is None:
                        break
                    upcoming.add(chunk)
            self._fill(upcoming, chunks)
            block, taken = upcoming, 0
        if carry and not self.drop_last:
            yield Rows.concat(carry), block.end, block.end.before
        yield None, block.end, block.end.before

    def _full(self, block: _Block) -> bool:
        if self.shuffle is None:
            return block.rows > 0
        if self.source.endless and block.rows and not block.end.row:
            return True  # behind a unit: what a block holds may not depend on when the next unit came
        return block.rows >= self.shuffle.buffer_rows or block.nbytes >= self.shuffle.buffer_mb << 20

    def _fill(self, block: _Block, chunks: Iterator[_Chunk]) -> None:
        while not self._full(block):
            chunk = next(chunks, None)
            if chunk is None:
                break
            block.add(chunk)

    def _chunks(self, epoch: int, start: Position) -> Iterator[_Chunk]:
        row = start.row
        for place, unit in self._places(epoch, start.unit):
            chunks = _aligned(self.source.read(unit, self.columns, row), row)
            while True:
                began = time.perf_counter()
                batch = next(chunks, None)
                read = time.perf_counter()
                self.spent["reading"] += read - began
                if batch is None:
                    break
                rows, report = self._intake(batch, unit, row, epoch)
                self.spent["features"] += time.perf_counter() - read
                row += batch.num_rows
                yield _Chunk(rows, report, Position(place, row))
            dropped = {("", reason): count for reason, count in self.source.dropped(unit).items()}
            yield _Chunk(None, Report(bad=dropped), Position(place + 1))
            row = 0

    def _wanted_units(self) -> list[Unit]:
        predicate = self.demand.predicate
        return self.source.units() if predicate is None else predicate.units(self.source)

    def _places(self, epoch: int, first: int) -> Iterator[tuple[int, Unit]]:
        """The epoch's units of this shard from a place on."""
        if self.source.endless:
            for place in itertools.count(first):
                unit = self.source.unit(place)
                if unit is None:
                    return
                yield place, unit
            return
        order = self._order(epoch)
        for place in range(first, len(order)):
            yield place, self._units[order[place]]

    def _order(self, epoch: int) -> np.ndarray:
        """The epoch's units of this shard; all shards draw the same order and share it out."""
        order = np.arange(len(self._units))
        if self.shuffle is not None:
            order = self._random(epoch, 0).permutation(order)
        return order[self.shard[0] :: self.shard[1]]

    def _row_order(self, epoch: int, block: _Block, rows: Rows) -> Order:
        if self.shuffle is None:
            return Order()
        together = self.shuffle.together
        column = rows.reserved.column(together) if together is not None and rows.reserved is not None else None
        return Order.drawn(self._random(epoch, 1, block.start.unit, block.start.row), block.rows, column)

    def _random(self, *key: int) -> np.random.Generator:
        return np.random.default_rng([self.seed & 0xFFFFFFFFFFFFFFFF, *key])

    def _describe(self) -> dict[str, Any]:
        """What must be the same for a position to mean the same rows."""
        rows = None if self.source.endless else self.source.num_rows
        shuffle = self.shuffle and [self.shuffle.buffer_rows, self.shuffle.buffer_mb]
        return {
            "the number of units": None if self.source.endless else len(self._units),
            "the number of rows": rows,
            "the seed": self.seed,
            "the shard": list(self.shard),
            "the shuffle buffer": shuffle,
            "the column whose rows stay together": self.shuffle and self.shuffle.together,
            "the chunk": CHUNK_ROWS,
            **({} if self.cost is None else {"the cost of a batch": [list(self.cost.sequences), self.cost.most]}),
        }


def _aligned(batches: Iterator[pa.RecordBatch], row: int) -> Iterator[pa.RecordBatch]:
    """The same rows, cut at multiples of CHUNK_ROWS (counted in the unit) wherever the source cut them."""
    parts: list[pa.RecordBatch] = []
    missing = CHUNK_ROWS - row % CHUNK_ROWS
    for batch in batches:
        start = 0
        while batch.num_rows - start >= missing:
            parts.append(batch.slice(start, missing))
            yield _joined(parts)
            start += missing
            parts, missing = [], CHUNK_ROWS
        if start < batch.num_rows:
            parts.append(batch.slice(start))
            missing -= batch.num_rows - start
    if parts:
        yield _joined(parts)


def _joined(parts: list[pa.RecordBatch]) -> pa.RecordBatch:
    if len(parts) == 1:
        return parts[0]
    return pa.Table.from_batches(parts).unify_dictionaries().combine_chunks().to_batches()[0]
