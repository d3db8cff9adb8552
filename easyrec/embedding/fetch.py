"""Rows of a batch's ids from those who hold them, and the lookup over these rows as if they were the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from easyrec.embedding import native
from easyrec.embedding.exchange import Exchange
from easyrec.embedding.lookup import Columns, Lookup
from easyrec.embedding.sharding import Shards
from easyrec.embedding.tables import TrainedTables
from easyrec.embedding.wanted import Wanting
from easyrec.workers import Workers

SPARE = 1.25
"""Room for rows of the next batches, as a share of what this one needs."""


class Rows:
    """Rows of a batch's ids, one array per piece, and the lookup over them."""

    def __init__(self, shards: Shards, threads: int) -> None:
        self.shards, self.threads = shards, threads
        # A table whose values are multiplied has as many rows as there are values, no more and no less.
        rows = [piece.spec.rows if place in shards.whole else 0 for place, piece in enumerate(shards.pieces)]
        self.arrays = [np.zeros((n, p.spec.dim), np.float32) for n, p in zip(rows, shards.pieces, strict=True)]
        self._build()

    def _build(self) -> None:
        trainable = [piece.spec.trainable for piece in self.shards.pieces]
        self.native = native.Tables(self.arrays, [], [], trainable, self.threads)
        self.lookup = Lookup(self.shards.plan, self.native, ())  # ids have become places

    def provide(self, needed: Sequence[int]) -> None:
        """Have room for so many rows of each unit's pieces."""
        grown = False
        for unit, number in zip(self.shards.units, needed, strict=True):
            for place in unit.pieces:
                if len(self.arrays[place]) < number:
                    self.arrays[place] = np.empty((int(number * SPARE), self.arrays[place].shape[1]), np.float32)
                    grown = True
        if grown:
            self._build()


@dataclass
class Asked:
    """What a worker and the others asked of one another for a batch that is learned.

    Attributes:
        native: The tables over which the batch was looked up.
        rows: By piece, the rows that were looked up, of room for more.
        here: (units, workers + 1), where in a unit's rows those of each worker begin and end.
        calls: By worker, what it asked: of each piece that has some, the call over the rows held here.
    """

    native: Any
    rows: list[np.ndarray]
    here: np.ndarray
    calls: list[list[tuple[int, Any]]]


class Fetch:
    """Asks for the rows of a batch, and gives those that others ask for; all workers do so at once.

    Args:
        shards: What is looked up.
        tables: What this worker holds of tables that are cut.
        bags: By piece the native lookup of rows held here, one after another.
        tier_of: The name of the tier of a piece's rows, by its name; those that it does not name are in memory.
        workers: The job.
        threads: How many threads of this worker share its work.

    Attributes:
        rows: Those of the last batch.
        whole: By piece that is multiplied with values, the call over all of its rows.
        asked: What was asked for the last batch that was learned.
    """

    def __init__(
        self,
        shards: Shards,
        tables: TrainedTables,
        bags: Sequence[Any],
        tier_of: Mapping[str, str],
        workers: Workers,
        threads: int,
    ) -> None:
        self.shards, self.tables, self.bags, self.workers = shards, tables, bags, workers
        self._tiers = [tier_of.get(shards.pieces[unit.pieces[0]].spec.name) for unit in shards.units]
        self._wanting = Wanting(shards.units, workers.rank, workers.size)
        self.whole = {place: self._call(place, np.arange(shards.pieces[place].spec.rows)) for place in shards.whole}
        self.rows = Rows(shards, threads)
        self.asked: Asked | None = None

    def __call__(self, columns: Columns, *, learning: bool) -> dict[str, np.ndarray]:
        """By column where among `rows` that of each id is, -1 for those without.

        Raises:
            DataError: An id is outside its table, or a column has not the expected shape.
            WorkerLost: Another worker has ended.
        """
        exchange = Exchange(self.shards.units, self._wanting(columns), self.workers, learning=learning)
        places = exchange.give_rows(self.tables, self._tiers)
        calls = self._swap_rows(exchange)
        if learning:
            self.asked = Asked(self.rows.native, list(self.rows.arrays), exchange.wanted.here, calls)
        return places

    @property
    def lookup(self) -> Lookup:
        """The lookup over the rows that came last."""
        return self.rows.lookup

    def _swap_rows(self, exchange: Exchange) -> list[list[tuple[int, Any]]]:
        """Send the rows that others asked for, and fill `rows` with what they send.

        Returns:
            By worker, the calls over the rows that it asked for.
        """
        units, workers, here = self.shards.units, self.workers, exchange.wanted.here
        me = workers.rank
        self.rows.provide(here[:, -1].tolist())
        for place, call in self.whole.items():
            call.lookup(self.rows.arrays[place])
        copied = np.array([unit.kind == "data_parallel" for unit in units], bool)
        widths = np.array([sum(self._dim(place) for place in unit.pieces) for unit in units], np.int64) * ~copied
        mine = exchange.given @ widths
        mine[me] = 0  # one's own rows go straight to where they are looked up
        answers: list[list[np.ndarray]] = [[] for _ in range(workers.size)]
        calls: list[list[tuple[int, Any]]] = [[] for _ in range(workers.size)]
        for worker, of_worker in enumerate(exchange.asked):
            for number, rows in of_worker.items():
                count, times = len(rows), exchange.times[worker].get(number)
                for place in units[number].pieces:
                    dim = self._dim(place)
                    if worker == me:
                        begin = int(here[number, me])
                        target = self.rows.arrays[place][begin : begin + count]
                    else:
                        target = np.empty((count, dim), np.float32)
                        if not copied[number]:  # those nobody wants, but the kernel must have seen the ids
                            answers[worker].append(target)
                    read = rows
                    if times is not None:  # a row that no feature reads here does not move
                        read = np.where(times[:, units[number].reads[place]].any(axis=1), rows, -1)
                    calls[worker].append((place, self._call(place, read, target)))
        came = workers.swap(answers, np.float32, mine.tolist())
        for worker, number in zip(*(part.tolist() for part in np.nonzero(exchange.given * (widths > 0))), strict=True):
            for place in units[number].pieces if worker != me else ():
                target = self.rows.arrays[place][here[number, worker] : here[number, worker + 1]]
                target[...] = came[worker][: target.size].reshape(target.shape)
                came[worker] = came[worker][target.size :]
        return calls

    def _call(self, place: int, rows: np.ndarray, target: np.ndarray | None = None) -> Any:
        """The native call over rows that are held here of a piece, looked up once."""
        call = self.bags[place].bind([(rows, None, None, None)], len(rows))
        fault = call.lookup(np.empty((len(rows), self._dim(place)), np.float32) if target is None else target)
        assert fault is None, "ids are checked where they are read"
        return call

    def _dim(self, place: int) -> int:
        return self.shards.pieces[place].spec.dim
