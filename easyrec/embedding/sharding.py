"""Which worker holds which part of a table. Knows no torch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal, TypeAlias

import numpy as np

from easyrec.embedding.spec import BagSpec, EmbeddingPlan, GroupPlan, TableSpec
from easyrec.layout import GroupLayout, SequenceLayout

Kind: TypeAlias = Literal["row", "table", "column", "data_parallel"]
KINDS: tuple[Kind, ...] = ("row", "table", "data_parallel", "column")

Planner: TypeAlias = Callable[[Sequence[TableSpec]], Mapping[str, Kind]]
"""From tables to how they are shared, by name."""

ITEMS = "items/"
"""What the names of columns of items begin with, where these are other rows than the users'."""

PICKED = "picked/"
"""What the names of columns of steps begin with that were picked."""

COMPARED = ("hash", "soft")
"""Searches that read the rows of all steps, and not their ids alone."""

SMALL = 1 << 18
"""Bytes of a table's weights up to which each worker holds all of it by `auto`: its gradient is small, too."""


@dataclass(frozen=True)
class Piece:
    """Some columns of a table, whose rows one worker, each worker, or all of them together hold.

    Attributes:
        spec: The piece as a table of its own.
        table: The table.
        columns: Of the table.
        kind: `row`: row r is with worker r modulo their number; `table`: all rows are with one; `data_parallel`: each
            has all. A table by `column` is several pieces by `table`.
        owner: The worker of `table`.
    """

    spec: TableSpec
    table: str
    columns: slice
    kind: Literal["row", "table", "data_parallel"]
    owner: int = 0

    def held(self, rank: int, size: int) -> TableSpec:
        """What a worker holds, as a table of its own."""
        if self.kind == "row":
            return replace(self.spec, rows=len(range(rank, self.spec.rows, size)))
        return self.spec if self.kind == "data_parallel" or self.owner == rank else replace(self.spec, rows=0)

    def cut(self, table: np.ndarray, rank: int, size: int) -> np.ndarray:
        """What a worker holds of (rows, dim) of the table, or of (rows, 1)."""
        rows = slice(rank, None, size) if self.kind == "row" else slice(0, self.held(rank, size).rows)
        return self.columns_of(table[rows])

    def of_rows(self, held: np.ndarray, start: int, stop: int, rank: int, size: int) -> np.ndarray:
        """What a worker holds of the rows `start .. stop` of the table."""
        if self.kind == "row":  # whole row r is row (r - rank) / size here, rounded up where it begins
            start, stop = -((rank - start) // size), -((rank - stop) // size)
        return held[start:stop]

    def put(self, rows: np.ndarray, start: int, held: np.ndarray, rank: int, size: int) -> None:
        """Fill (n, dim) of the table that begin at row `start` with what `of_rows` gave of a worker."""
        if len(held):
            first = (rank - start) % size if self.kind == "row" else 0
            self.columns_of(rows[first :: size if self.kind == "row" else 1])[...] = held

    def columns_of(self, rows: np.ndarray) -> np.ndarray:
        """The columns of the piece of (n, dim) of the table, or of (n, 1)."""
        return rows[:, self.columns] if rows.shape[1] > 1 else rows


@dataclass(frozen=True)
class Unit:
    """Pieces that are looked up by the same ids, held in the same way: their ids travel once.

    Attributes:
        kind: See `Piece`.
        owner: See `Piece`.
        rows: Number of ids.
        keys: Name of the keys by which ids have rows; None: an id is its row.
        pieces: Places among the pieces.
        features: Columns of ids, in a fixed order.
        reads: By piece, which of these look up there.
    """

    kind: Literal["row", "table", "data_parallel"]
    owner: int
    rows: int
    keys: str | None = None
    pieces: list[int] = field(default_factory=list)
    features: list[str] = field(default_factory=list)
    reads: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def counted(self) -> bool:
        """Whether holders are told which features met an id: they count keys, and move no row that nobody read."""
        return self.keys is not None or not all(reads.all() for reads in self.reads.values())


@dataclass(frozen=True)
class Shards:
    """The pieces of all tables of a plan, and the plan over them.

    Attributes:
        plan: The plan whose tables are the pieces; a column of ids is called `<unit>/<feature>` there, and one of a
            sequence whose steps are picked `<unit>/picked/<group>/<sequence>/<feature>`.
        pieces: In the order of the plan's tables.
        units: Those that every worker holds are the last.
        whole: Places of pieces that are multiplied with values: all their rows are read, whatever the batch.
    """

    plan: EmbeddingPlan
    pieces: list[Piece]
    units: list[Unit]
    whole: list[int]


def shards_of(
    plan: EmbeddingPlan, kinds: Mapping[str, Kind], size: int, among: Sequence[TableSpec] | None = None
) -> Shards:
    """Cut the tables of a plan.

    Args:
        plan: Tables and groups.
        kinds: How each table is shared, by name.
        size: Number of workers.
        among: All tables that are held, where the plan is of some of these.
    """
    linear = {bag.table for group in plan.groups.values() for bag in group.bags if bag.kind == "linear"}
    owners = _owners([t for t in among or plan.tables if kinds[t.name] == "table"], size)
    pieces: list[Piece] = []
    for turn, spec in enumerate(plan.tables):
        kind = "data_parallel" if spec.name in linear else kinds[spec.name]
        if kind == "column":
            ends = np.linspace(0, spec.dim, min(size, spec.dim) + 1).astype(int).tolist()
            for number, (start, stop) in enumerate(pairwise(ends)):
                part = replace(spec, name=f"{spec.name}@{number}", dim=stop - start)
                pieces.append(Piece(part, spec.name, slice(start, stop), "table", (turn + number) % size))
        else:
            owner = owners.get(spec.name, 0)
            pieces.append(Piece(spec, spec.name, slice(0, spec.dim), kind, owner))
    units: dict[tuple[str, str, int], Unit] = {}
    for place, piece in enumerate(pieces):
        if piece.table not in linear:
            unit = units.setdefault(_unit_of(piece), Unit(piece.kind, piece.owner, piece.spec.rows, piece.spec.keys))
            unit.pieces.append(place)
            unit.features.extend(f for f in _features(plan, piece.table) if f not in unit.features)
    bags = [bag.feature for group in plan.groups.values() for bag in group.bags]
    for unit in units.values():
        if unit.keys is not None:  # ids are counted in the order of one process
            unit.features.sort(key=bags.index)
        for place in unit.pieces:
            unit.reads[place] = np.isin(unit.features, _features(plan, pieces[place].table))
    ordered = sorted(units, key=lambda key: units[key].kind == "data_parallel")
    by_table: dict[str, list[tuple[Piece, int]]] = {}
    for piece in pieces:
        number = -1 if piece.table in linear else ordered.index(_unit_of(piece))
        by_table.setdefault(piece.table, []).append((piece, number))
    groups = {name: _cut(group, by_table) for name, group in plan.groups.items()}
    whole = [place for place, piece in enumerate(pieces) if piece.table in linear]
    over = EmbeddingPlan(tuple(p.spec for p in pieces), groups)
    return Shards(over, pieces, [units[key] for key in ordered], whole)


def searches(plan: EmbeddingPlan) -> Iterator[tuple[str, SequenceLayout, tuple[BagSpec, ...]]]:
    """The sequences of which steps are picked: the group, the sequence, and how it is looked up."""
    for name, group in plan.groups.items():
        for layout, bags in zip(group.layout.sequences, group.sequences, strict=True):
            if layout.search is not None:
                yield name, layout, bags


def picked_name(group: str, sequence: str, feature: str) -> str:
    """The name of a column of the steps that were picked."""
    return f"{PICKED}{group}/{sequence}/{feature}"


def of_picked(plan: EmbeddingPlan) -> EmbeddingPlan:
    """The plan over steps that have been picked: what the others are is not asked of any worker."""
    groups = dict(plan.groups)
    for name, layout, bags in searches(plan):
        group, whole = groups[name], replace(layout, search=None)
        named = tuple(replace(bag, feature=picked_name(name, layout.name, bag.feature)) for bag in bags)
        layouts = tuple(whole if own.name == layout.name else own for own in group.layout.sequences)
        sequences = tuple(named if own is bags else own for own in group.sequences)
        groups[name] = replace(group, layout=replace(group.layout, sequences=layouts), sequences=sequences)
    return replace(plan, groups=groups)


def items_apart(plan: EmbeddingPlan, item_groups: Collection[str]) -> EmbeddingPlan:
    """The plan whose groups that describe items read columns of their own: those of other rows than the users'.

    Of a searched sequence the columns are its group's own anyway, see `of_picked`.
    """

    def named(bags: Sequence[BagSpec]) -> tuple[BagSpec, ...]:
        return tuple(replace(bag, feature=f"{ITEMS}{bag.feature}") if bag.kind == "ids" else bag for bag in bags)

    groups = dict(plan.groups)
    for name in item_groups:
        group = groups[name]
        pairs = zip(group.layout.sequences, group.sequences, strict=True)
        sequences = tuple(named(bags) if layout.search is None else bags for layout, bags in pairs)
        groups[name] = GroupPlan(group.layout, named(group.fields), named(group.first), sequences)
    return replace(plan, groups=groups)


def compared(plan: EmbeddingPlan) -> EmbeddingPlan | None:
    """The plan of what searches compare by their rows: one child of a sequence and its candidate; None where none do."""
    groups: dict[str, GroupPlan] = {}
    for name, layout, bags in searches(plan):
        search = layout.search
        if search is None or search.kind not in COMPARED:
            continue
        place = [child.name for child in layout.children].index(search.child or "")
        child, candidate = replace(bags[place], start=0), layout.query[place]
        assert candidate is not None, "a search has a candidate"
        found = SequenceLayout(layout.name, (replace(layout.children[place], start=0),), (candidate,), search=search)
        of_group = groups.get(name, GroupPlan(GroupLayout(name), (), (), ()))
        layouts = replace(of_group.layout, sequences=(*of_group.layout.sequences, found))
        fields = (*of_group.fields, replace(child, feature=candidate))
        groups[name] = GroupPlan(layouts, fields, (), (*of_group.sequences, (child,)))
    return replace(plan, groups=groups).only(groups) if groups else None


def of_places(shards: Shards) -> Shards:
    """Shards of what is compared, whose searches read places among rows and not ids."""
    groups = {}
    for name, group in shards.plan.groups.items():
        layouts = []
        for layout, (bag,) in zip(group.layout.sequences, group.sequences, strict=True):
            unit = bag.feature.partition("/")[0]
            (child,), (candidate,), search = layout.children, layout.query, layout.search
            assert search is not None
            named = replace(child, name=f"{unit}/{child.name}")
            search = replace(search, child=named.name)
            layouts.append(replace(layout, children=(named,), query=(f"{unit}/{candidate}",), search=search))
        groups[name] = replace(group, layout=replace(group.layout, sequences=tuple(layouts)))
    return replace(shards, plan=replace(shards.plan, groups=groups))


def _unit_of(piece: Piece) -> tuple[str, str, int]:
    return piece.table.partition(":")[0], piece.kind, piece.owner


def _owners(tables: Iterable[TableSpec], size: int) -> dict[str, int]:
    """A worker for each table, so that all hold about as much; tables of one name are together."""
    bytes_of: dict[str, int] = {}
    tables = list(tables)
    for table in tables:
        base = table.name.partition(":")[0]
        bytes_of[base] = bytes_of.get(base, 0) + table.bytes
    load, owner = [0] * size, {}
    for base in sorted(bytes_of, key=lambda name: -bytes_of[name]):
        owner[base] = load.index(min(load))
        load[owner[base]] += bytes_of[base]
    return {table.name: owner[table.name.partition(":")[0]] for table in tables}


def _features(plan: EmbeddingPlan, table: str) -> list[str]:
    bags = [bag for group in plan.groups.values() for bag in group.bags]
    return list(dict.fromkeys(bag.feature for bag in bags if bag.table == table))


def _cut(group: GroupPlan, pieces: Mapping[str, Sequence[tuple[Piece, int]]]) -> GroupPlan:
    def cut(bags: Sequence[BagSpec]) -> tuple[BagSpec, ...]:
        found = []
        for bag in bags:
            for piece, unit in pieces[bag.table] if bag.table is not None else ():
                feature = bag.feature if bag.kind == "linear" else f"{unit}/{bag.feature}"
                start, dim = bag.start + piece.columns.start, piece.spec.dim
                found.append(replace(bag, feature=feature, table=piece.spec.name, start=start, dim=dim))
            if bag.table is None:
                found.append(bag)
        return tuple(found)

    return GroupPlan(group.layout, cut(group.fields), cut(group.first), tuple(map(cut, group.sequences)))


def kinds_by_size(tables: Iterable[TableSpec]) -> dict[str, Kind]:
    """What `auto` means: every worker holds small tables, and all of them together the rows of large ones."""
    return {table.name: "data_parallel" if table.bytes <= SMALL else "row" for table in tables}


def kinds_of(plan: EmbeddingPlan, asked: Callable[[str], str], planner: Planner = kinds_by_size) -> dict[str, Kind]:
    """How each table is shared; those of one name alike, and dynamic ones by row: a key's hash says who holds it.

    Args:
        plan: The tables.
        asked: What the config says of a table.
        planner: Decides for those of which it says `auto`.
    """
    widest: dict[str, TableSpec] = {}
    for table in plan.tables:
        base = table.name.partition(":")[0]
        widest[base] = max(widest.get(base, table), table, key=lambda t: t.dim)
    free = [table for table in widest.values() if asked(table.name) == "auto" and table.keys is None]
    found = planner(free) if free else {}
    kinds: dict[str, Kind] = {}
    for table in plan.tables:
        kind = asked(table.name) if table.keys is None else "row"
        kinds[table.name] = found[widest[table.name.partition(":")[0]].name] if kind == "auto" else kind  # type: ignore[assignment]
    return kinds
