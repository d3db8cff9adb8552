"""The lookup of all groups of a plan over native tables: one code for training and serving. Knows no torch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Protocol, TypeAlias

import numpy as np

from easyrec.config.compress import Part
from easyrec.embedding import native
from easyrec.embedding.search import Parts, StepSearch, take
from easyrec.embedding.spec import BagSpec, EmbeddingPlan, GroupPlan
from easyrec.errors import DataError
from feature_generator.columns import Table

KINDS = {"ids": 0, "linear": 1, "copy": 2}


class Columns(Protocol):
    """The columns of some rows, as numpy arrays."""

    size: int
    dense: np.ndarray

    @property
    def dense_slices(self) -> Mapping[str, slice]:
        """Columns of each dense output inside `dense`."""
        ...

    def ragged(self, name: str) -> Parts:
        """The parts of a ragged column."""
        ...


RowsOf: TypeAlias = Callable[[str, np.ndarray], np.ndarray]
"""Gives the rows of ids, -1 for those without, by the feature that has them."""


class _MappedColumns:
    """Columns with rows in place of the ids that are no rows themselves; every column is asked for once."""

    def __init__(self, columns: Columns, mapped: Collection[str], rows_of: RowsOf) -> None:
        self.columns, self.mapped, self.rows_of = columns, mapped, rows_of
        self.size, self.dense, self.dense_slices = columns.size, columns.dense, columns.dense_slices
        self._known: dict[str, Parts] = {}

    def ragged(self, name: str) -> Parts:
        """The parts of a ragged column."""
        if name not in self.mapped:
            return self.columns.ragged(name)
        if name not in self._known:
            self._known[name] = self.of_rows(name, self.columns.ragged(name))
        return self._known[name]

    def of_rows(self, name: str, parts: Parts) -> Parts:
        """The parts with rows in place of ids, where the column has such."""
        if name not in self.mapped:
            return parts
        ids, offsets, weights, key_offsets = parts
        return self.rows_of(name, np.ascontiguousarray(ids)), offsets, weights, key_offsets


class TableColumns:
    """A generator's table as `Columns`."""

    def __init__(self, table: Table) -> None:
        self.table, self.size = table, table.num_rows
        self.dense, self.dense_slices = table.dense, table.dense_slices
        self.ragged: Callable[[str], Parts] = table.parts
        """Gives the parts of a ragged column."""


@dataclass(frozen=True)
class Buffer:
    """One flat tensor to fill: its key, its memory's shape, and the call that fills it."""

    key: str
    call: Any
    bags: tuple[BagSpec, ...]


class _Group:
    def __init__(
        self,
        plan: GroupPlan,
        tables: Any,
        index: Mapping[str, int],
        codes: dict[tuple[str, int], int],
        made: Callable[[Sequence[BagSpec], bool], Any],
    ) -> None:
        self.plan, self.layout, self.has_fields = plan, plan.layout, plan.layout.width > 0
        self.fields = made(plan.fields, False)
        self.first = made(plan.first, False)
        read = (
            [(bag.feature, bag.part, bag.single) for bag in plan.fields],
            [(bag.feature, bag.part, bag.single) for bag in plan.first],
        )
        self.alike = read[0] == read[1][: len(read[0])]  # fields and first-order weights read the same columns
        self.sequences = [made(bags, True) for bags in plan.sequences]
        self.searches = [
            None if layout.search is None else StepSearch(layout, bags, tables, index, codes)
            for layout, bags in zip(plan.layout.sequences, plan.sequences, strict=True)
        ]


def described(bags: Sequence[BagSpec], index: Mapping[str, int], keyed: Collection[str], steps: bool) -> list[Any]:
    """The bags for the kernels; with `steps`, one output row per element of a sequence instead of per row."""
    return [
        (
            bag.feature,
            KINDS[bag.kind],
            -1 if bag.table is None else index[bag.table],
            bag.dim,
            bag.start,
            bag.value_dim,
            bag.element_mean if steps else bag.mean,
            False if steps else bag.element_mean,
            bag.feature in keyed or (bag.part is not None and bag.part.open),
        )
        for bag in bags
    ]


class Lookup:
    """The groups of a plan over tables.

    Args:
        plan: What to look up.
        tables: Native tables in the order of `plan.tables`.
        mapped: Features whose ids are no rows of these tables themselves; default: those that have rows by keys.
        bags: Makes what looks some bags up; default: the kernels, over `tables`.

    Attributes:
        codes: Numbers of the SimHash codes that the tables keep for searches, by table and seed.
    """

    def __init__(
        self,
        plan: EmbeddingPlan,
        tables: Any,
        mapped: Collection[str] | None = None,
        bags: Callable[[list[Any]], Any] | None = None,
    ) -> None:
        index = {table.name: i for i, table in enumerate(plan.tables)}
        self.codes: dict[tuple[str, int], int] = {}
        keyed = plan.keyed
        self.mapped = frozenset(keyed if mapped is None else mapped)
        over = bags or partial(native.Bags, tables)

        def made(specs: Sequence[BagSpec], steps: bool) -> Any:
            return over(described(specs, index, keyed, steps))

        self.groups = {name: _Group(group, tables, index, self.codes, made) for name, group in plan.groups.items()}

    def bind(
        self, columns: Columns, groups: Collection[str] | None = None, rows_of: RowsOf | None = None
    ) -> tuple[list[Buffer], dict[str, np.ndarray]]:
        """What to fill for these columns, and the tensors that need no filling (`rows:`, `offsets:`).

        Args:
            columns: Where the columns are.
            groups: The groups that are looked up; None: all.
            rows_of: Gives the rows of the ids of `mapped` features; needed where there are such.

        Raises:
            DataError: A column has not the shape that the plan expects.
        """
        buffers: list[Buffer] = []
        others: dict[str, np.ndarray] = {}
        raw, mapped = columns, None
        if self.mapped:
            assert rows_of is not None
            columns = mapped = _MappedColumns(columns, self.mapped, rows_of)
        try:
            for name, group in self._chosen(groups):
                if group.has_fields or group.layout.first_order:
                    fields = group.plan.fields
                    data = [parts_of(bag, columns) for bag in (group.plan.first if group.alike else fields)]
                    if group.has_fields:
                        call = group.fields.bind(data[: len(fields)], columns.size)
                        buffers.append(Buffer(f"emb:{name}", call, fields))
                    if group.layout.first_order:
                        data = data if group.alike else [parts_of(bag, columns) for bag in group.plan.first]
                        buffers.append(Buffer(f"first:{name}", group.first.bind(data, columns.size), group.plan.first))
                for layout, bags, kernel, search in zip(
                    group.layout.sequences, group.plan.sequences, group.sequences, group.searches, strict=True
                ):
                    key = f"{name}/{layout.name}"
                    data, offsets, steps = _steps(bags, columns if search is None else raw)
                    if search is not None:
                        picked, offsets = search.find(raw, offsets, steps)  # by ids, whether they have rows or not
                        data, steps = [take(parts, picked) for parts in data], len(picked)
                        if mapped is not None:  # steps that are not looked up get no rows
                            data = [mapped.of_rows(bag.feature, p) for bag, p in zip(bags, data, strict=True)]
                    rows = np.empty(steps, np.int64)
                    native.row_ids(offsets, rows)
                    others |= {f"rows:{key}": rows, f"offsets:{key}": offsets}
                    buffers.append(Buffer(f"seq:{key}", kernel.bind(data, steps), bags))
        except (TypeError, ValueError, IndexError) as error:  # the binding's checks of shape and type
            raise DataError(str(error)) from error
        return buffers, others

    def whole_features(self, group: str) -> list[str]:
        """Features of a group all of whose ids are looked up: not those of sequences whose steps are chosen."""
        plan = self.groups[group].plan
        steps = [
            b for s, bags in zip(plan.layout.sequences, plan.sequences, strict=True) if s.search is None for b in bags
        ]
        return [bag.feature for bag in (*plan.fields, *plan.first, *steps) if bag.kind == "ids"]

    def _chosen(self, groups: Collection[str] | None) -> list[tuple[str, _Group]]:
        return [(name, group) for name, group in self.groups.items() if groups is None or name in groups]

    def dense(
        self,
        columns: Columns,
        take: Callable[[slice | list[int]], Any],
        groups: Collection[str] | None = None,
    ) -> dict[str, Any]:
        """The `dense:` and `num:` tensors: a view of neighbouring columns, else a copy.

        Args:
            columns: Where the columns are.
            take: Selects columns of the dense block.
            groups: The groups that are looked up; None: all.
        """
        result = {}
        for name, group in self._chosen(groups):
            for key, spans in (("dense", group.layout.dense), ("num", group.layout.numeric)):
                slices = [columns.dense_slices[span.name] for span in spans]
                if slices:
                    neighbours = all(a.stop == b.start for a, b in pairwise(slices))
                    result[f"{key}:{name}"] = take(
                        slice(slices[0].start, slices[-1].stop)
                        if neighbours
                        else [i for s in slices for i in range(s.start, s.stop)]
                    )
        return result


def fill(buffer: Buffer, out: np.ndarray) -> None:
    """Look up into `out`.

    Raises:
        DataError: An id is outside its table, or offsets do not ascend.
    """
    fault = buffer.call.lookup(out)
    if fault is None:
        return
    bag, row, value, kind = fault
    name = buffer.bags[bag].feature
    if kind == "id":
        raise DataError(f"id {value} is outside its embedding table", column=name, row=row)
    raise DataError(f"{kind} must ascend from 0 to the number of values", column=name, row=row)


def parts_of(bag: BagSpec, columns: Columns) -> Parts:
    """The parts of the column that a bag reads, rows of its table in place of ids."""
    place = columns.dense_slices.get(bag.feature)
    if place is not None:
        return columns.dense[:, place], None, None, None
    parts = columns.ragged(bag.feature)
    return _composing(bag, parts) if bag.single or bag.part is not None else parts


def _composing(bag: BagSpec, parts: Parts) -> Parts:
    """The parts of a column with the rows of a part of a composed table in place of its ids.

    Raises:
        DataError: There are several ids where there may be one.
    """
    ids, of_rows, weights, of_elements = parts
    for offsets in (of_rows, of_elements) if bag.single else ():
        several = np.flatnonzero(np.diff(offsets) > 1) if offsets is not None else np.empty(0, np.int64)
        if len(several):
            text = "several ids in one place, whose embedding cannot be made of the sums of its parts"
            raise DataError(f"{text}\ntake another 'type' in model.compress", column=bag.feature, row=int(several[0]))
    return parts if bag.part is None else (_rows_of_part(bag.part, ids), of_rows, weights, of_elements)


def _rows_of_part(part: Part, ids: np.ndarray) -> np.ndarray:
    """(n,) rows of ids; those outside of the whole table stay as they are, which is outside of each part too."""
    rows = ids // part.divide if part.divide > 1 else ids
    rows = rows % part.modulo if part.modulo else rows
    rows = rows - part.start if part.start else rows
    if part.open:
        return np.where((rows >= 0) & (rows < part.rows), rows, -1)
    return np.where((ids >= 0) & (ids < part.ids), rows, ids)


def _steps(bags: Sequence[BagSpec], columns: Columns) -> tuple[list[Parts], np.ndarray, int]:
    """The children of a sequence with one row per element, the sequence's offsets and its number of elements."""
    data: list[Parts] = []
    offsets: np.ndarray | None = None
    steps = columns.size
    for place, bag in enumerate(bags):
        values, own, weights, key_offsets = columns.ragged(bag.feature)
        data.append(_composing(bag, (values, key_offsets, weights, None)))
        if place == 0:
            offsets = own
            steps = len(values) if key_offsets is None else len(key_offsets) - 1
    return data, np.arange(steps + 1) if offsets is None else offsets, steps
