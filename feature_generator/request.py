"""A request in two steps: the user once, then as many candidates as come; and items computed ahead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from feature_generator.columns import BadValue, Table
from feature_generator.errors import DataError
from feature_generator.incoming import is_arrays, record
from feature_generator.native import FlatBatch
from feature_generator.program import BITS, read_by
from feature_generator.stage import Stage

if TYPE_CHECKING:
    from feature_generator.generator import BadRows, FeatureGenerator


class Stages:
    """The features by what they depend on: the request alone, an item alone, or both.

    Attributes:
        user: What reads users and contexts alone: once a request.
        items: All that reads items.
        fixed: What reads items alone: computed ahead, and kept.
        cross: What reads both: for every candidate of every request.
        needs: Columns that a request needs, by side.
        order: All outputs.
    """

    def __init__(self, generator: FeatureGenerator) -> None:
        nodes = generator._resolved
        user = {node.name for node in nodes if node.sided == "user"}
        cross = {node.name for node in nodes if node.sided == "item" and node.sides & {"user", "context"}}
        fixed = {node.name for node in nodes} - user - cross

        def needed(names: set[str]) -> set[str]:
            return read_by([node for node in nodes if node.name in names], nodes)

        def stage(names: set[str], later: set[str]) -> Stage:
            return generator.stage(names, needed(later) & names)

        # What depends on no column counts as the user's, but items are computed where there is no user.
        constant = {node.name for node in nodes if node.sides <= {"const"}} & needed(fixed | cross)
        self.constants: list[tuple[int, pa.RecordBatch]] = []
        if constant:
            below = {node.name for node in nodes if node.sides <= {"const"}}
            made = generator.stage(below, constant).run([], 1)[1]
            assert made is not None
            self.constants.append((BITS["feature"], made))

        self.needs = [(side, generator.needs(side)) for side in ("user", "context")]
        self.order = list(generator.outputs)
        self.user = stage(user, cross)
        self.items = stage(fixed | cross, set())
        self.fixed = stage(fixed, cross)
        self.cross = stage(cross, set())


class ItemTable:
    """Items whose own features are computed, with the raw columns that features of both sides still read.

    Attributes:
        table: Features that depend on the item alone.
        raw: Columns for the others.
        handed: Stubs that those read, or None.
    """

    def __init__(self, table: Table, raw: pa.RecordBatch, handed: pa.RecordBatch | None) -> None:
        self.table, self.raw, self.handed = table, raw, handed

    def __len__(self) -> int:
        return self.table.num_rows

    def take(self, rows: Any) -> ItemTable:
        """The items at `rows`, (k,) integers in 0 .. len - 1, copied.

        Raises:
            IndexError: A row lies outside.
        """
        places = np.asarray(rows, np.int64)
        table, indices = self.table.take(places), pa.array(places)
        table.bad = self.table.bad_of(places)
        raw = self.raw.take(indices) if self.raw.num_columns else self.raw
        return ItemTable(table, raw, None if self.handed is None else self.handed.take(indices))


def precompute(generator: FeatureGenerator, data: Any, threads: int, bad_rows: BadRows) -> ItemTable:
    """What of these items depends on nothing else.

    Raises:
        DataError: A column is missing or unreadable, or a value is bad under `fail`.
    """
    stages = generator.stages
    needed = list(dict.fromkeys([*stages.fixed.needs["item"], *stages.cross.needs["item"]]))
    batch = record(data, needed) if needed else _rows(_count(data))
    table, handed = _run(stages.fixed, [*stages.constants, (BITS["item"], batch)], batch.num_rows, threads)
    _refuse(table.bad, bad_rows)
    return ItemTable(table, batch.select(stages.cross.needs["item"]), handed)


class Request:
    """A user and a context, computed once.

    Attributes:
        user: Table of one row: all features that depend on no item.
    """

    def __init__(self, generator: FeatureGenerator, user: Any, context: Any, bad_rows: BadRows) -> None:
        self._stages, self._bad_rows = generator.stages, bad_rows
        self._sources = [
            (BITS[side], _one(data, needed, side))
            for (side, needed), data in zip(self._stages.needs, (user, context), strict=True)
            if needed
        ]
        self.user, handed = _run(self._stages.user, self._sources, 1, 1)
        _refuse(self.user.bad, bad_rows)
        self._sources += self._stages.constants
        if handed is not None:
            self._sources.append((BITS["feature"], handed))

    def score_items(self, items: Any, *, tile: bool = False) -> Table:
        """The features of K candidates: those that read items, of these items and this request.

        Args:
            items: K rows, or an `ItemTable` of the same generator.
            tile: Add the request's own features, repeated for every candidate.

        Returns:
            A table of K rows.

        Raises:
            DataError: A column is missing or unreadable, or a value is bad under `fail`.
        """
        table = self._cross(items) if isinstance(items, ItemTable) else self._all(items)
        _refuse(table.bad, self._bad_rows)
        if not tile:
            return table
        whole = Table.join([self.user.take(np.zeros(table.num_rows, np.int64)), table], self._stages.order)
        whole.bad = [*self.user.bad, *table.bad]
        return whole

    def _all(self, items: Any) -> Table:
        needed = self._stages.items.needs["item"]
        if not needed:
            return _run(self._stages.items, self._sources, _count(items), 1)[0]
        batch = _record(items, needed)
        return _run(self._stages.items, [*self._sources, (BITS["item"], batch)], batch.num_rows, 1)[0]

    def _cross(self, items: ItemTable) -> Table:
        sources = [*self._sources, (BITS["item"], items.raw)]
        if items.handed is not None:
            sources.append((BITS["feature"], items.handed))
        made, _ = _run(self._stages.cross, sources, len(items), 1)
        whole = Table.join([items.table, made], self._stages.order)
        whole.bad = [*items.table.bad, *made.bad]
        return whole


def _run(
    stage: Stage, sources: Sequence[tuple[int, pa.RecordBatch]], rows: int, threads: int
) -> tuple[Table, pa.RecordBatch | None]:
    try:
        return stage.run(sources, rows, threads)
    except (KeyError, ValueError):
        sources = [(bits, pa.record_batch(batch)) for bits, batch in sources]
    try:  # batches are taken as they are: they may have columns that need a cast, or fields of objects
        return stage.run([(bits, _cast(stage, bits, batch)) for bits, batch in sources], rows, threads)
    except (KeyError, ValueError) as error:
        raise stage.data_error(error, [name for _, batch in sources for name in batch.schema.names]) from None


def _cast(stage: Stage, bits: int, batch: pa.RecordBatch) -> pa.RecordBatch:
    side = next((side for side in ("user", "item", "context") if BITS[side] == bits), None)
    needs = stage.needs[side] if side is not None else []
    return record(batch, needs) if needs else batch


def _record(data: Any, columns: Sequence[str]) -> pa.RecordBatch:
    return data if type(data) is pa.RecordBatch or type(data) is FlatBatch else record(data, columns)


def _one(data: Any, columns: Sequence[str], side: str) -> pa.RecordBatch:
    if data is None:
        raise DataError(f"features read {side} columns, but the request has no {side}", column=columns[0])
    batch = _record([data] if _is_row(data, columns) else data, columns)
    if batch.num_rows != 1:
        raise DataError(f"the {side} of a request is one row, but has {batch.num_rows}")
    return batch


def _is_row(data: Any, columns: Sequence[str]) -> bool:
    """Whether a mapping of nothing but lists is a row of lists, rather than columns of one row.

    Columns would have one item each; and one object under the name of no column is a sequence of objects.
    """
    if not isinstance(data, Mapping) or not is_arrays(data):
        return False
    return any(len(v) != 1 or (isinstance(v[0], Mapping) and name not in columns) for name, v in data.items())


def _count(items: Any) -> int:
    """Rows of items of which no column is read."""
    if isinstance(items, Mapping):
        return len(next(iter(items.values()), ())) if is_arrays(items) else 1
    return items.num_rows if hasattr(items, "num_rows") else len(items)


def _rows(count: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_struct_array(pa.array([{}] * count, pa.struct([])))


def _refuse(bad: Sequence[BadValue], bad_rows: BadRows) -> None:
    if bad and bad_rows == "fail":
        raise DataError(bad[0].reason, row=bad[0].row, column=bad[0].column)
