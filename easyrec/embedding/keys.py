"""The keys of dynamic tables: which row an id has, in training and in serving. Knows no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, fields
from typing import Any

import numpy as np
from typing_extensions import Self

from easyrec.embedding import native
from easyrec.embedding.spec import KeySpec, TableSpec
from easyrec.errors import CheckpointError

PARTS = ("keys", "rows", "counts", "steps", "sketch", "marks", "told", "before")
"""Arrays of a map's state. `rows` is -1 for keys that are counted and have no row yet; `told` are the `KeyCounts`,
`before` the steps of the trainings that this one goes on from. Of several workers, `sketch` and `marks` hold each one's
side by side."""


@dataclass
class KeyCounts:
    """What happened to the ids of a dynamic table.

    Attributes:
        seen: Occurrences in training.
        found: Of these, those of ids that had a row.
        admitted: Ids that got a row.
        evicted: Ids that lost their row to others.
        expired: Ids that were not seen for too long.
        refused: Times an id had to wait because every row was in use in its very step.
    """

    seen: int = 0
    found: int = 0
    admitted: int = 0
    evicted: int = 0
    expired: int = 0
    refused: int = 0

    def add(self, more: Mapping[str, int]) -> None:
        """Count on."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + more[field.name])

    @property
    def hit_rate(self) -> float:
        """Share of the occurrences whose id had a row."""
        return self.found / self.seen if self.seen else 0.0


def told(rows: int, counts: KeyCounts) -> dict[str, float]:
    """What people are told of keys: how many have rows, and what happened."""
    rate = {"hit_rate": round(counts.hit_rate, 6)} if counts.seen else {}
    return {"rows": rows, **rate, **asdict(counts)}


class KeyMap:
    """The rows of the ids of dynamic tables that share them.

    All decisions follow from ids, counts and training steps, so that a restored map goes on exactly.

    Args:
        spec: The rules.
        seed: Decides the chances.

    Attributes:
        counts: What happened since they were last taken.
    """

    def __init__(self, spec: KeySpec, seed: int) -> None:
        self.spec, self.seed = spec, seed
        self.counts, self._before = KeyCounts(), 0
        self._native = self._empty()

    def _empty(self) -> Any:
        spec = self.spec
        return native.KeyMap(
            spec.capacity,
            counting=getattr(native.Counting, spec.counting),
            min_count=spec.min_count,
            probability=spec.probability,
            candidates=spec.size if spec.counting == "exact" else 0,
            sketch_width=spec.size if spec.counting == "sketch" else 0,
            eviction=getattr(native.Eviction, spec.eviction),
            half_life=spec.half_life,
            ttl=spec.ttl,
            seed=number_of(self.seed, spec.name),
        )

    def __len__(self) -> int:
        return int(self._native.size)

    @property
    def bytes(self) -> int:
        """Memory of the map itself, its tables not counted."""
        return int(self._native.bytes)

    def admit(self, ids: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows of ids that training meets: they are counted, get rows, and take those of others.

        Args:
            ids: (n,) int64.
            step: The training step; it must not fall.

        Returns:
            (n,) rows, -1 for ids without; and the rows that were given now, with their ids.
        """
        rows = self._native.admit(ids, self._before + step)
        self.counts.add(self._native.take_counts())
        return rows, *self._native.take_fresh()

    def find(self, ids: np.ndarray) -> np.ndarray:
        """(n,) rows of ids, -1 for those without."""
        found: np.ndarray = self._native.find(ids)
        return found

    def take_counts(self) -> KeyCounts:
        """What happened since the last call."""
        taken, self.counts = self.counts, KeyCounts()
        return taken

    # ----------------------------------------------------------------------------------------------- state

    def arrays(self) -> dict[str, np.ndarray]:
        """The whole state, by the names in `PARTS`: keys with a row by row, then those that wait by key."""
        state: dict[str, np.ndarray] = self._native.state()
        more = {"told": np.array(astuple(self.counts), np.int64), "before": np.array([self._before], np.int64)}
        return {**state, **more}

    def held(self) -> tuple[np.ndarray, np.ndarray]:
        """The keys that have rows, and these, ascending."""
        state = self.arrays()
        size = len(self)
        return state["keys"][:size], state["rows"][:size].astype(np.int64)

    def started(self, arrays: Mapping[str, np.ndarray], step: int) -> tuple[Self, np.ndarray, np.ndarray]:
        """A map of these rules with the keys that another one gave rows, of any capacity and rules.

        Where there are more than this one holds, those that were counted most are taken. How long a key has not
        been seen goes on from there, and so do the counts of those that wait for a row.

        Args:
            arrays: Its `keys`, their `rows`, `counts` and `steps`.
            step: The training step that comes next.

        Returns:
            The map, rows of its keys, and those that they had in the other one.
        """
        arrays = as_one(arrays)
        with_row = np.flatnonzero(arrays["rows"] >= 0)
        taken = with_row
        if len(with_row) > self.spec.capacity:
            order = np.lexsort((arrays["keys"][with_row], -arrays["counts"][with_row].astype(np.float64)))
            taken = np.sort(with_row[order[: self.spec.capacity]])
        there = arrays["rows"][taken].astype(np.int64)
        rows, waiting = self._rows_like(there), self._waiting_like(arrays)
        both = np.concatenate([taken, waiting])
        empty, sketch = self.arrays(), arrays.get("sketch", np.zeros(0, np.uint32))
        same = len(sketch) > 0 and sketch.shape == empty["sketch"].shape
        state = {
            "keys": arrays["keys"][both],
            "rows": np.concatenate([rows, np.full(len(waiting), -1)]).astype(np.int32),
            "counts": arrays["counts"][both],
            "steps": arrays["steps"][both],
            "sketch": sketch if same else empty["sketch"],
            "marks": np.array([arrays["marks"][0] if same else 0, 0], np.int64),
            "told": np.zeros_like(empty["told"]),
            "before": np.array([max(0, int(arrays["steps"].max(initial=0)) + 1 - step)], np.int64),
        }
        return self.restored(state), rows, there

    def _rows_like(self, there: np.ndarray) -> np.ndarray:
        """Rows for keys that had these elsewhere: the same ones where they are here, so that exports differ little."""
        capacity = self.spec.capacity
        owners = np.full(capacity, -1)
        inside = np.flatnonzero(there < capacity)[::-1]
        owners[there[inside]] = inside  # of several for one row the last that is written, and so the first
        stays = np.zeros(len(there), bool)
        stays[owners[owners >= 0]] = True
        rows = there.copy()
        rows[~stays] = free_rows(capacity, there[stays])[: int((~stays).sum())]
        return rows

    def _waiting_like(self, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        """Places of the keys that were counted elsewhere without a row, as many as are counted here."""
        if self.spec.counting != "exact":
            return np.zeros(0, np.int64)
        waiting = np.flatnonzero(arrays["rows"] < 0)
        order = np.lexsort((arrays["keys"][waiting], -arrays["counts"][waiting].astype(np.float64)))
        return waiting[order[: self.spec.size]]

    def restored(self, arrays: Mapping[str, np.ndarray]) -> Self:
        """A map of these rules in the state that `arrays` told.

        Raises:
            CheckpointError: It is none of this capacity and rules.
        """
        other = type(self)(self.spec, self.seed)
        try:
            one = as_one(arrays)
            *state, told, before = (np.ascontiguousarray(one[part]) for part in PARTS)
            other._native.restore(*state)
            other.counts, (other._before,) = KeyCounts(*told.tolist()), before.tolist()
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"the keys of '{self.spec.name}' cannot be taken over: {error}") from error
        return other


def free_rows(capacity: int, taken: np.ndarray) -> np.ndarray:
    """The rows below `capacity` that are not taken, ascending."""
    free = np.ones(capacity, bool)
    free[taken] = False
    return np.flatnonzero(free)


def as_one(arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """The state of keys as one process has it, whoever told it.

    Of several sketches the largest counters are as near to the truth as each was, as no two workers count one id.
    """
    marks, sketch = arrays.get("marks", np.zeros(2, np.int64)), arrays.get("sketch", np.zeros(0, np.uint32))
    size = len(marks) // 2
    if size <= 1:
        return arrays
    each = marks.reshape(size, 2)
    together = np.array([each[:, 0].sum(), each[:, 1].max()], np.int64)
    return {**arrays, "sketch": sketch.reshape(size, -1).max(axis=0), "marks": together}


class FinishedKeys:
    """The rows of ids, fixed: slots in memory that may be a file.

    Args:
        slots: (n, 2) int64, what `native.key_slots` makes of keys and rows.
    """

    def __init__(self, slots: np.ndarray) -> None:
        self.slots = slots

    def find(self, ids: np.ndarray) -> np.ndarray:
        """(n,) rows of ids, -1 for those without."""
        found: np.ndarray = native.find_keys(self.slots, ids)
        return found


def start_rows(spec: TableSpec, weights: np.ndarray, rows: np.ndarray, ids: np.ndarray, seed: int) -> None:
    """Fill rows that ids have been given: from the seed, the table's name and the id alone."""
    kind = getattr(native.Start, spec.init.type)
    native.start_rows(weights, rows, ids, kind, spec.init.value, number_of(seed, spec.name))


def number_of(seed: int, name: str) -> int:
    """64 bits that follow from a seed and a name."""
    digest = hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")
