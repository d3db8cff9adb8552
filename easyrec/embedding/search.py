"""The steps of a sequence that are worth a lookup, found by their ids. Knows no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

from easyrec.embedding.spec import BagSpec
from easyrec.layout import Search, SequenceLayout

Parts: TypeAlias = tuple[np.ndarray, np.ndarray | None, np.ndarray | None, np.ndarray | None]
"""(values, offsets, weights, key_offsets) of a ragged column."""


class Ragged(Protocol):
    """Some rows' columns of ids."""

    def ragged(self, name: str) -> Parts:
        """The parts of a ragged column."""
        ...


def directions(dim: int, seed: int) -> np.ndarray:
    """(dim, 64) float32, the random directions of a SimHash.

    Each number is the sum of twelve uniform ones, which is nearly normal. Its bits come from SHAKE-256 and integers
    alone: the same on every machine and with every release of numpy, so that a bundle need not hold them.
    """
    data = hashlib.shake_256(f"simhash {seed} {dim}".encode()).digest(dim * 64 * 12 * 2)
    drawn = np.frombuffer(data, "<u2").reshape(dim, 64, 12).sum(axis=2, dtype=np.int64)
    return np.ascontiguousarray((drawn - 6 * 65535) / 65536, np.float32)


class StepSearch:
    """Chooses the steps of one sequence of a group.

    Args:
        layout: The sequence; it has a `search`.
        bags: How its children are looked up.
        tables: Native tables.
        index: Place of each table among them.
        codes: Numbers of the codes that the tables keep, by table and seed; a missing one is added.
    """

    def __init__(
        self,
        layout: SequenceLayout,
        bags: Sequence[BagSpec],
        tables: Any,
        index: Mapping[str, int],
        codes: dict[tuple[str, int], int],
    ) -> None:
        assert layout.search is not None
        self.search: Search = layout.search
        self.name, self.tables = layout.name, tables
        self.child, self.candidate = "", ""
        if self.search.kind == "newest":
            return
        place = [child.name for child in layout.children].index(self.search.child or "")
        child, candidate = layout.children[place].name, layout.query[place]
        if candidate is None:
            raise ValueError(f"the steps of '{layout.name}' cannot be compared by '{self.search.child}'")
        self.child, self.candidate = child, candidate
        if self.search.kind == "hard":
            return
        bag = bags[place]
        if bag.kind != "ids" or bag.table is None:
            raise ValueError(f"the steps of '{layout.name}' cannot be compared by '{self.search.child}'")
        self.table = index[bag.table]
        if self.search.kind == "hash":
            key = (bag.table, self.search.seed)
            if key not in codes:
                codes[key] = tables.add_codes(self.table, directions(bag.dim, self.search.seed))
            self.codes = codes[key]

    def find(self, columns: Ragged, offsets: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Places of the chosen steps, oldest first, and their offsets by row.

        Args:
            columns: Where the ids are.
            offsets: (B+1,) of all steps.
            steps: How many there are.

        Raises:
            ValueError: Offsets do not ascend, or the candidate's ids do not fit the rows.
        """
        search, rows = self.search, len(offsets) - 1
        if search.kind == "newest":
            unread = np.empty(steps, np.int64)
            return self.tables.newest(self.name, (unread, offsets, None), rows, search.top)  # type: ignore[no-any-return]
        values, _, _, keys = columns.ragged(self.child)
        others, places, _, other_keys = columns.ragged(self.candidate)
        common = (self.name, (values, offsets, keys), rows, search.top, (others, places, other_keys))
        if search.kind == "hard":
            return self.tables.equal(*common)  # type: ignore[no-any-return]
        if search.kind == "hash":
            return self.tables.nearest(*common, self.codes, search.bits)  # type: ignore[no-any-return]
        return self.tables.largest(*common, self.table)  # type: ignore[no-any-return]


def take(parts: Parts, picked: np.ndarray) -> Parts:
    """The elements `picked` of a column that has a row per element."""
    values, offsets, weights, _ = parts
    if offsets is None:
        return values[picked], None, None if weights is None else weights[picked], None
    lengths = offsets[picked + 1] - offsets[picked]
    starts = np.concatenate([np.zeros(1, np.int64), lengths.cumsum()])
    places = np.arange(starts[-1]) + np.repeat(offsets[picked] - starts[:-1], lengths)
    return values[places], starts, None if weights is None else weights[places], None
