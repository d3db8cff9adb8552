"""What workers ask of one another before a batch is looked up: which rows, and how often ids were met."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from easyrec.embedding.sharding import Unit
from easyrec.embedding.tables import TrainedTables
from easyrec.embedding.wanted import Occurrences, Wanted, found
from easyrec.workers import Workers


class Exchange:
    """Tells the holders which rows a batch wants, and hears what the others want; all workers do so at once.

    Rows that every worker holds are not asked for; but whose gradients will come is told, while it learns.

    Args:
        units: What is looked up by the same ids; those that every worker holds are the last.
        wanted: What this worker needs.
        workers: The job.
        learning: Whether it is a step of training.

    Attributes:
        given: (workers, units), of how many ids this worker asks each one.
        taken: (workers, units), of how many ids each one asks this worker.
        asked: By worker and unit these ids; `give_rows` puts rows in their place.
        times: By worker and unit (n, features) how often it met them, where that is told; `give_rows` leaves those
            occurrences that had a row.
    """

    def __init__(self, units: Sequence[Unit], wanted: Wanted, workers: Workers, *, learning: bool) -> None:
        self.units, self.wanted, self.workers = units, wanted, workers
        me, size, number = workers.rank, workers.size, len(units)
        copies = slice(sum(unit.kind != "data_parallel" for unit in units), number)
        self.met = Occurrences(units, wanted, me) if learning else None
        self.given = wanted.counts.copy()
        if learning:
            self.given[:, copies] = wanted.counts[me, copies]
        sent: list[list[np.ndarray]] = [[numbers] for numbers in self.given]
        for worker, parts in enumerate(sent):
            parts.append(wanted.of(worker, slice(0, copies.start)))
            if learning or worker == me:
                parts.append(wanted.of(me, copies))
            parts.extend([] if self.met is None else self.met.of(worker))
        told = np.zeros(number, np.int64) if self.met is None else self.met.columns
        every = [of_worker.copy() for of_worker in workers.swap(sent, np.int64)]
        self.taken = np.stack([of_worker[:number] for of_worker in every])
        self.asked: list[dict[int, np.ndarray]] = [{} for _ in range(size)]
        self.times: list[dict[int, np.ndarray]] = [{} for _ in range(size)]
        for worker, of_worker in enumerate(every):
            came, numbers = of_worker[number:], self.taken[worker]
            for place in np.flatnonzero(numbers).tolist():
                self.asked[worker][place], came = came[: numbers[place]], came[numbers[place] :]
            for place in np.flatnonzero(numbers * told).tolist():
                end = int(numbers[place] * told[place])
                self.times[worker][place], came = came[:end].reshape(-1, told[place]), came[end:]

    def give_rows(self, tables: TrainedTables, tiers: Sequence[str | None]) -> dict[str, np.ndarray]:
        """Find the rows of keys that are held here, and bring to memory what is not there.

        In training keys are counted, and may get rows, in the order of one process: those of a feature of all workers,
        then those of the next one.

        Args:
            tables: What this worker holds.
            tiers: By unit the name of the tier where its rows are; None: all are in memory.

        Returns:
            By column where among a unit's rows that of each id is, -1 for those without.
        """
        without: list[list[np.ndarray]] = [[] for _ in self.asked]
        for number, (unit, tier) in enumerate(zip(self.units, tiers, strict=True)):
            if unit.keys is None and tier is None:
                continue
            every = [of_worker.get(number, np.zeros(0, np.int64)) for of_worker in self.asked]
            ids, ends = np.concatenate(every), np.cumsum([len(part) for part in every])[:-1]
            if unit.keys is None:
                rows = tables.rows(None, tier, ids, learning=self.met is not None)
            else:
                lost = self._admitted(number, unit.keys, tables, tier, ids)
                rows = tables.rows(unit.keys, tier, ids, learning=False)
                if self.met is None:
                    lost = (rows < 0)[:, None]
                for parts, times, part in zip(without, self.times, np.split(lost, ends), strict=True):
                    parts.append(part.astype(np.int32).ravel())
                    if number in times:
                        times[number] -= part
            for of_worker, part in zip(self.asked, np.split(rows, ends), strict=True):
                if number in of_worker:
                    of_worker[number] = part
        keyed = np.array([unit.keys is not None for unit in self.units], np.int64)
        if not keyed.any():
            return self.wanted.places
        return self._places(without, keyed)

    def _admitted(self, number: int, keys: str, tables: TrainedTables, tier: str | None, ids: np.ndarray) -> np.ndarray:
        """(n, features) how many occurrences of keys had no row, the first ones; while nothing is learned, none is counted."""
        lost = np.zeros((0, len(self.units[number].features)), np.int64)
        lost = np.concatenate([lost, *(times[number] for times in self.times if number in times)])
        for column in range(lost.shape[1] if self.met is not None else 0):
            of_id = np.repeat(np.arange(len(ids)), lost[:, column])
            rows = tables.rows(keys, tier, ids[of_id], learning=True)
            lost[:, column] = np.bincount(of_id[rows < 0], minlength=len(ids))
        return lost

    def _places(self, without: Sequence[Sequence[np.ndarray]], keyed: np.ndarray) -> dict[str, np.ndarray]:
        """Tell the others, in their order, which occurrences had no row, and hear of one's own."""
        widths = keyed if self.met is None else self.met.columns * keyed
        every = self.workers.swap(without, np.int32, (self.given @ widths).tolist())
        numbers = np.flatnonzero(keyed).tolist()
        told: dict[int, list[np.ndarray]] = {number: [] for number in numbers}
        for counts, of_worker in zip(self.given.tolist(), every, strict=True):
            came = of_worker
            for number in numbers:
                end = counts[number] * int(widths[number])
                told[number].append(came[:end].reshape(-1, int(widths[number])))
                came = came[end:]
        places = dict(self.wanted.places)
        for number, parts in told.items():
            lost = np.concatenate(parts)
            for column, feature in enumerate(self.units[number].features if lost.any() else ()):
                name, of = f"{number}/{feature}", lost[:, column if self.met is not None else 0]
                places[name] = found(places[name], of, of if self.met is None else self.met.times[number][:, column])
        return places
