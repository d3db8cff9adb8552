"""Whole tables, put together from what the workers hold while a checkpoint is written. Knows no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np

from easyrec.embedding.keys import PARTS, KeyMap
from easyrec.embedding.sharding import Piece
from easyrec.embedding.shared_keys import joined
from easyrec.embedding.spec import EmbeddingPlan, row_widths


class Job(Protocol):
    """The workers, as far as they are needed here."""

    rank: int
    size: int

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
        ...

    def collected(self, array: np.ndarray) -> list[np.ndarray] | None:
        """An array of each worker, on the first one."""
        ...


@dataclass(frozen=True)
class Streamed:
    """As much of an array as the writing of a file asks for: some rows after others, and all workers must ask for them.

    Attributes:
        shape: Of the whole.
        pieces: The pieces of the table, and what this worker holds of each.
        workers: The job.
    """

    shape: tuple[int, ...]
    pieces: Sequence[tuple[Piece, np.ndarray]]
    workers: Job
    ndim: int = 2

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of weights and states."""
        return np.dtype(np.float32)

    @property
    def nbytes(self) -> int:
        """Bytes of the whole."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        """(n, dim) on the first worker; nothing on the others."""
        start, stop, _ = rows.indices(len(self))
        found = np.empty((stop - start if self.workers.first else 0, self.shape[1]), self.dtype)
        for piece, held in self.pieces:
            mine = piece.of_rows(held, start, stop, self.workers.rank, self.workers.size)
            for rank, part in enumerate(self.workers.collected(mine) or ()):
                piece.put(found, start, part, rank, self.workers.size)
        return found


class Whole(Mapping[str, np.ndarray]):
    """The arrays of whole tables, by the names of one process.

    Those that are cut come to the first worker while they are written, row by row. All workers must ask for the same
    ones, one after another, and for all of their rows.

    Args:
        plan: Tables and groups.
        optimizer: Type of what moves the tables.
        states: Names of its arrays.
        held: By name of an array (`weight`, or of the state) what this worker holds, by piece.
        pieces: The pieces.
        maps: This worker's keys, by name.
        step: Steps done.
        workers: The job.

    Attributes:
        shapes: Of all arrays but those of keys, whose length is that of what they hold.
    """

    def __init__(
        self,
        plan: EmbeddingPlan,
        optimizer: str,
        states: Sequence[str],
        held: Callable[[str], list[np.ndarray]],
        pieces: Sequence[Piece],
        maps: Mapping[str, KeyMap],
        step: int,
        workers: Job,
    ) -> None:
        self.held, self.pieces, self.maps, self.step, self.workers = held, pieces, maps, step, workers
        widths = row_widths(plan.tables, optimizer)
        self.shapes: dict[str, tuple[int, ...]] = {}
        for number, part in enumerate(("weight", *states)):
            for spec in plan.tables:
                self.shapes[f"{spec.name}/{part}"] = spec.rows, widths[spec.name][number]
        self._keys = {f"{spec.name}/key_{part}": (spec.name, part) for spec in plan.keys for part in PARTS}
        self._bytes_of_keys = sum(20 * (spec.capacity + spec.size) for spec in plan.keys)
        self._known: dict[str, Mapping[str, np.ndarray]] = {}

    @property
    def nbytes(self) -> int:
        """Bytes of all, those of keys at most."""
        return sum(4 * int(np.prod(shape)) for shape in self.shapes.values()) + self._bytes_of_keys

    def __iter__(self) -> Iterator[str]:
        yield from (*self.shapes, *self._keys, "step")

    def __len__(self) -> int:
        return len(self.shapes) + len(self._keys) + 1

    def __getitem__(self, name: str) -> np.ndarray:
        if name == "step":
            return np.array(self.step, np.int64)
        if name in self._keys:
            keys, key_part = self._keys[name]
            if keys not in self._known:  # all parts of one state
                self._known[keys] = self._joined_keys(keys)
            return self._known[keys][key_part]
        table, _, part = name.rpartition("/")
        every = zip(self.pieces, self.held(part), strict=True)
        mine = [(piece, held) for piece, held in every if piece.table == table]
        if mine[0][0].kind == "data_parallel":
            return mine[0][1]
        return cast(np.ndarray, Streamed(self.shapes[name], mine, self.workers))

    def _joined_keys(self, name: str) -> Mapping[str, np.ndarray]:
        mine = self.maps[name].arrays()
        every = {part: self.workers.collected(mine[part]) for part in PARTS}
        if not self.workers.first:
            return {part: array[:0] for part, array in mine.items()}
        size = self.workers.size
        return joined([{part: (arrays or [])[rank] for part, arrays in every.items()} for rank in range(size)])
