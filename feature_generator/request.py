"""A request in two steps: the user once, then as many candidates as come; and items computed ahead."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from feature_generator.columns import BadValue, Table
from feature_generator.errors import DataError
from feature_generator.incoming import is_arrays, record
from feature_generator.native import FlatBatch
from feature_generator.planning import Node, shaping
from feature_generator.program import BITS, read_by
from feature_generator.stage import Stage

if TYPE_CHECKING:
    from feature_generator.generator import BadRows, FeatureGenerator


class Stages:
    """The features by what they depend on: the request alone, an item alone, or both.

    Args:
        generator: Whose features they are.
        asked: Item columns that come with each request, as a candidate's position does: what reads them is not kept.

    Attributes:
        user: What reads users and contexts alone: once a request.
        items: All that reads items.
        fixed: What reads items alone: computed ahead, and kept.
        cross: What reads both: for every candidate of every request.
        needs: Columns that a request needs, by side.
        order: All outputs.
        kept: Item columns that items computed ahead are made of.
    """

    def __init__(self, generator: FeatureGenerator, asked: Collection[str] = ()) -> None:
        nodes, self.asked = generator._resolved, tuple(asked)
        late = _reading(nodes, asked) if asked else set()
        user = {node.name for node in nodes if node.sided == "user"}
        cross = {n.name for n in nodes if n.sided == "item" and (n.sides & {"user", "context"} or n.name in late)}
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
        read = dict.fromkeys([*self.fixed.needs["item"], *self.cross.needs["item"]])
        self.kept = [name for name in read if name not in self.asked]


class ItemTable:
    """Items whose own features are computed, with the raw columns that features of both sides still read.

    Attributes:
        table: Features that depend on the item alone.
        raw: Columns for the others.
        handed: Stubs that those read, or None.
        stages: What the features were told apart by.
        asked: Columns that came with a request, or None.
    """

    def __init__(
        self,
        table: Table,
        raw: pa.RecordBatch,
        handed: pa.RecordBatch | None,
        stages: Stages,
        asked: pa.RecordBatch | None = None,
    ) -> None:
        self.table, self.raw, self.handed, self.stages, self.asked = table, raw, handed, stages, asked

    def __len__(self) -> int:
        return self.table.num_rows

    def take(self, rows: Any) -> ItemTable:
        """The items at `rows`, (k,) integers in 0 .. len - 1, copied.

        Raises:
            IndexError: A row lies outside.
        """
        places = np.asarray(rows, np.int64)
        table = self.table.take(places)
        table.bad = self.table.bad_of(places)
        raw, handed, asked = (_taken(batch, places) for batch in (self.raw, self.handed, self.asked))
        return ItemTable(table, raw, handed, self.stages, asked)

    def beside(self, asked: pa.RecordBatch) -> ItemTable:
        """The same items with the columns that come with a request, a row for each.

        Raises:
            DataError: There is not one row for each.
        """
        asked = asked if type(asked) is pa.RecordBatch else pa.record_batch(asked)
        if asked.num_rows != len(self):
            raise DataError(f"the request has {asked.num_rows} rows for {len(self)} items")
        return ItemTable(self.table, self.raw, self.handed, self.stages, asked)


def precompute(
    generator: FeatureGenerator, data: Any, threads: int, bad_rows: BadRows, asked: Collection[str] = ()
) -> ItemTable:
    """What of these items depends on nothing else, nor on the columns that are `asked` with each request.

    Raises:
        DataError: A column is missing or unreadable, or a value is bad under `fail`.
    """
    stages = Stages(generator, asked) if asked else generator.stages
    return compute(stages, data, threads, bad_rows)


def compute(stages: Stages, data: Any, threads: int, bad_rows: BadRows) -> ItemTable:
    """What of these items can be kept, by stages that are there already.

    Raises:
        DataError: As in `precompute`.
    """
    batch = record(data, stages.kept) if stages.kept else _rows(_count(data))
    table, handed = _run(stages.fixed, [*stages.constants, (BITS["item"], batch)], batch.num_rows, threads)
    _refuse(table.bad, bad_rows)
    raw = [name for name in stages.cross.needs["item"] if name not in stages.asked]
    return ItemTable(table, batch.select(raw), handed, stages)


def _reading(nodes: Sequence[Node], columns: Collection[str]) -> set[str]:
    """The features that read some columns, or a feature that does."""
    found: set[str] = set()
    for node in sorted(nodes, key=lambda node: node.level):
        for source in (*node.inputs, *shaping(node, nodes)):
            if source.name in (found if source.side == "feature" else columns):
                found.add(node.name)
    return found


def _side_by_side(raw: pa.RecordBatch, asked: pa.RecordBatch | None) -> pa.RecordBatch:
    if asked is None:
        return raw
    names = [*raw.schema.names, *asked.schema.names]
    return pa.RecordBatch.from_arrays([*raw.columns, *asked.columns], names)


def _taken(batch: Any, places: np.ndarray[Any, Any]) -> Any:
    if batch is None or not batch.num_columns:
        return batch
    taken = batch.take(pa.array(places))
    return taken if type(taken) is pa.RecordBatch else record(taken, taken.schema.names)


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
        stage = items.stages.cross
        if not stage.program.nodes:
            return items.table
        sources = [*self._sources, (BITS["item"], _side_by_side(items.raw, items.asked))]
        if items.handed is not None:
            sources.append((BITS["feature"], items.handed))
        made, _ = _run(stage, sources, len(items), 1)
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
