"""Columns of a batch whose rows others hold: steps that searches picked, and places in the place of ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from easyrec.batch import Batch
from easyrec.embedding.collection import BatchColumns
from easyrec.embedding.lookup import Lookup
from easyrec.embedding.search import Parts, StepSearch, take
from easyrec.embedding.sharding import COMPARED, ITEMS, PICKED, picked_name
from easyrec.embedding.spec import BagSpec
from easyrec.errors import DataError
from easyrec.layout import SequenceLayout


class PickedColumns(BatchColumns):
    """A batch with columns of the steps that were picked, see `sharding.picked_name`.

    Args:
        batch: The rows.
        picks: What picks.
        near: Columns with places among the rows that are compared; None where all is found by ids.

    Raises:
        DataError: A column has not the shape that a search expects.
    """

    def __init__(self, batch: Batch, picks: Iterable[Pick], near: PlacedColumns | None) -> None:
        super().__init__(batch)
        self.picked: dict[str, Parts] = {}
        try:
            for pick in picks:
                self.picked |= pick(self, near)
        except (TypeError, ValueError, IndexError) as error:  # the binding's checks of shape and type
            raise DataError(str(error)) from error

    def ragged(self, name: str) -> Parts:
        """The parts of a ragged column."""
        return self.picked[name] if name in self.picked else super().ragged(name)


class Pick:
    """Picks the steps of one sequence of a group, before any other row is asked for.

    Args:
        group: Name of the group.
        layout: The sequence.
        bags: How it is looked up.
        tables: Native tables; none of them is read.
        compared: Gives the lookup over the rows that are compared, where it is not by ids alone.
    """

    def __init__(
        self, group: str, layout: SequenceLayout, bags: Sequence[BagSpec], tables: Any, compared: Callable[[], Lookup]
    ) -> None:
        assert layout.search is not None
        self.compared, self.group, self.name = compared, group, layout.name
        self.of_rows = layout.search.kind in COMPARED
        self.names = {bag.feature: picked_name(group, layout.name, bag.feature) for bag in bags}
        self._by_ids = None if self.of_rows else StepSearch(layout, bags, tables, {}, {})

    @property
    def search(self) -> StepSearch:
        """What chooses the steps; over other tables whenever these have grown."""
        if self._by_ids is not None:
            return self._by_ids
        group = self.compared().groups[self.group]
        pairs = zip(group.layout.sequences, group.searches, strict=True)
        return next(search for layout, search in pairs if search is not None and layout.name == self.name)

    def __call__(self, columns: BatchColumns, near: PlacedColumns | None) -> dict[str, Parts]:
        """The columns of the steps that are picked."""
        whole = {name: columns.ragged(name) for name in self.names}
        values, offsets, _, keys = next(iter(whole.values()))
        steps = len(values) if keys is None else len(keys) - 1
        seen = near if self.of_rows and near is not None else columns
        picked, offsets = self.search.find(seen, np.arange(steps + 1) if offsets is None else offsets, steps)
        found: dict[str, Parts] = {}
        for name, (values, _, weights, keys) in whole.items():
            chosen, starts, theirs, _ = take((values, keys, weights, None), picked)
            found[self.names[name]] = chosen, offsets, theirs, starts
        return found


class ItemColumns(PickedColumns):
    """The columns of items, by the names that `sharding.items_apart` gives them too."""

    def ragged(self, name: str) -> Parts:
        """The parts of a ragged column."""
        return super().ragged(name.removeprefix(ITEMS))


class JoinedColumns:
    """The columns of users and of items, as far as they are there: others are empty.

    Args:
        users: Columns of the groups that do not describe items.
        items: Columns of those that do.
    """

    size = 0
    dense: np.ndarray = np.zeros((0, 0), np.float32)
    dense_slices: Mapping[str, slice] = {}

    def __init__(self, users: BatchColumns | None, items: BatchColumns | None) -> None:
        self.users, self.items = users, items

    def ragged(self, name: str) -> Parts:
        """The parts of a ragged column."""
        picking = (part for part in (self.users, self.items) if isinstance(part, PickedColumns))
        of: BatchColumns | None = next((part for part in picking if name in part.picked), None)
        if of is None and not name.startswith(PICKED):
            of = self.items if name.startswith(ITEMS) else self.users
        return (np.zeros(0, np.int64), np.zeros(1, np.int64), None, None) if of is None else of.ragged(name)


class PlacedColumns:
    """Columns with places among the rows that came in the place of ids, -1 for ids without a row.

    Args:
        columns: Those of the batch.
        places: By `<unit>/<column>`.
    """

    def __init__(self, columns: BatchColumns | JoinedColumns, places: Mapping[str, np.ndarray]) -> None:
        self.columns, self.places = columns, places
        self.size, self.dense, self.dense_slices = columns.size, columns.dense, columns.dense_slices

    def ragged(self, name: str) -> Parts:
        """The parts of a ragged column."""
        if name not in self.places:
            return self.columns.ragged(name)
        _, offsets, weights, key_offsets = self.columns.ragged(name.partition("/")[2])
        return self.places[name], offsets, weights, key_offsets
