"""Which rows a batch needs, each of them once, and which worker holds them. Knows no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from easyrec.embedding import native
from easyrec.embedding.lookup import Columns
from easyrec.embedding.search import Parts
from easyrec.embedding.sharding import Unit
from easyrec.errors import DataError


@dataclass(frozen=True)
class Wanted:
    """The distinct rows of a batch, those of one worker after those of another, and among these unit by unit.

    Attributes:
        rows: As the worker that holds them numbers them; keys, where ids have rows by these.
        counts: (workers, units).
        here: (units, workers + 1), where among a unit's rows, by worker, those of each begin and end.
        places: By column of the plan over the pieces, where among a unit's rows that of each id is.
    """

    rows: np.ndarray
    counts: np.ndarray
    here: np.ndarray
    places: dict[str, np.ndarray]

    def of(self, worker: int, units: slice) -> np.ndarray:
        """Rows that a worker holds, of some units that follow one another."""
        before = int(self.counts[:worker].sum() + self.counts[worker, : units.start].sum())
        return self.rows[before : before + int(self.counts[worker, units].sum())]


class Occurrences:
    """How often a batch meets each id, by feature: for holders of keys, which they count, and of rows that not all read.

    Args:
        units: What is looked up by the same ids.
        wanted: What the batch needs.
        rank: This worker.

    Attributes:
        columns: (units,) how many features are told of a unit's ids; 0 where none are.
        times: By unit, (n, features) of each of its ids.
    """

    def __init__(self, units: Sequence[Unit], wanted: Wanted, rank: int) -> None:
        self.units, self.here, self.rank, self.times = units, wanted.here, rank, dict[int, np.ndarray]()
        self.columns = np.array([len(unit.features) if unit.counted else 0 for unit in units], np.int64)
        for number in np.flatnonzero(self.columns).tolist():
            named, size = (f"{number}/{feature}" for feature in units[number].features), int(wanted.here[number, -1])
            every = [np.bincount(wanted.places[name], minlength=size) for name in named]
            self.times[number] = np.stack(every, axis=1)

    def of(self, worker: int) -> list[np.ndarray]:
        """Those of the ids whose rows a worker holds, unit by unit."""
        told = []
        for number, times in self.times.items():
            holder = self.rank if self.units[number].kind == "data_parallel" else worker
            told.append(times[self.here[number, holder] : self.here[number, holder + 1]].ravel())
        return told


def found(places: np.ndarray, lost: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Places of occurrences, -1 for the first ones of those keys that had no row when they were met.

    Args:
        places: (n,) by occurrence, where its key is.
        lost: (keys,) how many of its occurrences had no row.
        times: (keys,) how many there were.
    """
    without = np.flatnonzero(lost[places])
    if not len(without):
        return places
    keys = places[without]
    some = lost[keys] < times[keys]
    gone = without[~some]
    if some.any():  # keys that got their row in this batch
        at, keys = without[some], keys[some]
        order = np.argsort(keys, kind="stable")
        _, first, counts = np.unique(keys[order], return_index=True, return_counts=True)
        number = np.arange(len(keys)) - np.repeat(first, counts)
        gone = np.concatenate([gone, at[order][number < lost[keys[order]]]])
    result = places.copy()
    result[gone] = -1
    return result


class Wanting:
    """Finds what a batch needs.

    Args:
        units: What is looked up by the same ids; those that every worker holds are with this one.
        rank: Number of this worker.
        size: How many there are.
    """

    def __init__(self, units: Sequence[Unit], rank: int, size: int) -> None:
        self.units, self.size = units, size
        holders = {"row": -1, "data_parallel": rank}
        self._rules = [(-1 if u.keys is not None else u.rows, holders.get(u.kind, u.owner)) for u in units]

    def __call__(self, columns: Columns) -> Wanted:
        """What these rows need.

        Raises:
            DataError: An id is outside its table, or a column has not the expected shape.
        """
        asked = [(place, feature) for place, unit in enumerate(self.units) for feature in unit.features]
        ids = [_checked(columns.ragged(feature)[0], feature) for _, feature in asked]
        pairs = [(values, place) for values, (place, _) in zip(ids, asked, strict=True)]
        rows, counts, here, every, fault = native.wanted(self._rules, pairs, self.size)
        if fault is not None:
            number, wrong = fault
            feature = asked[number][1]
            text = f"id {ids[number][wrong]} is outside its embedding table"
            row = _row_of(columns.ragged(feature), wrong)
            raise DataError(text, column=feature.rpartition("/")[2], row=row)
        places, begin = dict[str, np.ndarray](), 0
        for (place, feature), values in zip(asked, ids, strict=True):
            places[f"{place}/{feature}"] = every[begin : begin + len(values)]
            begin += len(values)
        return Wanted(rows, counts, here, places)


def _checked(ids: np.ndarray, feature: str) -> np.ndarray:
    """Ids of a column; the kernel checks their range."""
    if ids.ndim != 1 or ids.dtype != np.int64:
        raise DataError(f"ids must be (n,) int64, but are {ids.shape} {ids.dtype}", column=feature)
    return np.ascontiguousarray(ids)


def _row_of(column: Parts, place: int) -> int:
    """The row of a value of a ragged column."""
    _, offsets, _, key_offsets = column
    if key_offsets is not None:
        place = int(np.searchsorted(key_offsets, place, "right")) - 1
    return place if offsets is None else int(np.searchsorted(offsets, place, "right")) - 1
