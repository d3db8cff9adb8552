"""What an embedding plan is made of: tables, and the bags that fill a group's columns. Plain data, no torch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from typing_extensions import Self

from easyrec.config.compress import Part
from easyrec.layout import GroupLayout

STATES: Mapping[str, tuple[str, ...]] = {
    "adam": ("m", "v"),
    "lazy_adam": ("m", "v"),
    "rowwise_adagrad": ("sum",),
    "adagrad": ("sum",),
    "sgd": (),
    "ftrl": ("z", "n"),
}
"""Names of each optimizer's state arrays; `sum` of `rowwise_adagrad` has one column."""


@dataclass(frozen=True)
class Initializer:
    """How a new table is filled.

    Attributes:
        type: `normal` (mean 0), `uniform` (in [-value, value]), `identity` (value on the diagonal, else 0).
        value: Standard deviation, bound, or diagonal.
    """

    type: Literal["normal", "uniform", "identity"]
    value: float


@dataclass(frozen=True)
class KeySpec:
    """How the ids of dynamic tables get rows and lose them.

    Attributes:
        name: The `embedding_name`; the tables of one name share the rows.
        capacity: Number of rows.
        counting: What an id must do for a row: `none` (come), `exact` or `sketch` (come `min_count` times), `chance`.
        min_count: Occurrences.
        probability: Of `chance`, for each occurrence.
        size: Ids counted at once, or counters per row of the sketch.
        eviction: Who loses a row when all are taken: the lowest step (`lru`), count (`lfu`) or decayed count (`score`).
        half_life: Of `score`, in steps.
        ttl: Steps that an id keeps its row unseen; 0: any number.
    """

    name: str
    capacity: int
    counting: Literal["none", "exact", "sketch", "chance"] = "none"
    min_count: int = 1
    probability: float = 1.0
    size: int = 0
    eviction: Literal["lru", "lfu", "score"] = "lru"
    half_life: float = 0.0
    ttl: int = 0

    @property
    def bytes(self) -> int:
        """Memory of the map of keys to rows, full or not, and of its copy while a checkpoint is written."""
        waiting = self.size if self.counting == "exact" else 0
        entries = 24 * (8 * (self.capacity + waiting) // 3 + 2)  # 3 of 8 are taken
        copy = 20 * (self.capacity + waiting)
        return entries + 4 * self.capacity + copy + (16 * self.size if self.counting == "sketch" else 0)


@dataclass(frozen=True)
class TableSpec:
    """One embedding table.

    Attributes:
        name: The `embedding_name`; tables of first-order weights end in `:first`.
        rows: Number of ids; for linear fields the number of values per row.
        dim: Width of a row.
        features: Outputs that look up here.
        trainable: Whether training changes it.
        init: How it is filled; a row of a dynamic table, when an id gets it.
        keys: Name of the `KeySpec` by which ids have rows; None: an id is its row.
    """

    name: str
    rows: int
    dim: int
    features: tuple[str, ...]
    trainable: bool
    init: Initializer
    keys: str | None = None

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return self.rows * self.dim

    @property
    def bytes(self) -> int:
        """Memory of the weights in fp32, optimizer state not counted."""
        return 4 * self.parameters


def row_widths(specs: Sequence[TableSpec], optimizer: str) -> dict[str, list[int]]:
    """Numbers of a row of each table: its weights, and each array of the optimizer's state."""
    return {
        spec.name: [spec.dim] + [1 if optimizer == "rowwise_adagrad" else spec.dim] * len(STATES[optimizer])
        for spec in specs
    }


@dataclass(frozen=True)
class BagSpec:
    """How one feature fills the columns `start .. start + dim` of a flat tensor.

    Attributes:
        feature: Name of the output that is read.
        kind: `ids` sums rows of the table; `linear` multiplies values with the table (value_dim, dim); `copy` takes
            the values as they are.
        dim: Number of columns.
        start: First column.
        table: Name of the table; None for `copy`.
        value_dim: Values per element, for `linear` and `copy`.
        mean: Divide a row's sum by the number of its ids (elements, for a pooled sequence).
        element_mean: Divide an element's sum by the number of its ids, for sequences whose elements hold several.
        part: Which of the table's rows belongs to an id, where the table is a part of a composed one; None: the id's own.
        single: Whether the rows of several ids cannot be summed, so that there may be one at most.
    """

    feature: str
    kind: Literal["ids", "linear", "copy"]
    dim: int
    start: int
    table: str | None = None
    value_dim: int = 1
    mean: bool = False
    element_mean: bool = False
    part: Part | None = None
    single: bool = False


@dataclass(frozen=True)
class GroupPlan:
    """What lookup does for one group.

    Attributes:
        layout: The columns that the model sees.
        fields: Bags that fill `emb:<group>`.
        first: Bags that fill `first:<group>`.
        sequences: Bags that fill `seq:<group>/<sequence>`, one tuple per sequence of the layout.
    """

    layout: GroupLayout
    fields: tuple[BagSpec, ...]
    first: tuple[BagSpec, ...]
    sequences: tuple[tuple[BagSpec, ...], ...]

    @property
    def bags(self) -> list[BagSpec]:
        """All that is looked up."""
        return [*self.fields, *self.first, *(bag for bags in self.sequences for bag in bags)]

    @property
    def tables(self) -> set[str]:
        """Tables that are looked up in."""
        return {bag.table for bag in self.bags if bag.table is not None}

    @property
    def features(self) -> set[str]:
        """Outputs that are read."""
        spans = {span.name for span in self.layout.dense} | {field.name for field in self.layout.numeric}
        return {bag.feature for bag in self.bags} | spans


@dataclass(frozen=True)
class EmbeddingPlan:
    """All tables and groups of a model."""

    tables: tuple[TableSpec, ...]
    groups: Mapping[str, GroupPlan]
    keys: tuple[KeySpec, ...] = ()

    @property
    def keyed(self) -> dict[str, str]:
        """Features whose ids have rows by keys, and the names of these."""
        by_table = {table.name: table.keys for table in self.tables if table.keys is not None}
        bags = [bag for group in self.groups.values() for bag in group.bags]
        return {bag.feature: by_table[bag.table] for bag in bags if bag.table in by_table}

    @property
    def layouts(self) -> dict[str, GroupLayout]:
        """The layout of each group."""
        return {name: group.layout for name, group in self.groups.items()}

    @property
    def parameters(self) -> int:
        """Number of weights in all tables."""
        return sum(table.parameters for table in self.tables)

    @property
    def bytes(self) -> int:
        """Memory of the weights in fp32, optimizer state not counted."""
        return sum(table.bytes for table in self.tables)

    def only(self, groups: Collection[str]) -> Self:
        """The plan of some groups, and of the tables that they look up in."""
        chosen = {name: group for name, group in self.groups.items() if name in groups}
        used = {name for group in chosen.values() for name in group.tables}
        tables = tuple(table for table in self.tables if table.name in used)
        named = {table.keys for table in tables}
        return type(self)(tables, chosen, tuple(keys for keys in self.keys if keys.name in named))

    def of_size(self, rows: Mapping[str, int]) -> Self:
        """The plan over dynamic tables that have these numbers of rows, by the name of their keys."""
        tables = tuple(t if t.keys is None else replace(t, rows=rows[t.keys]) for t in self.tables)
        return replace(self, tables=tables)

    def to_json(self) -> dict[str, Any]:
        """The plan as plain data."""
        return {
            "tables": [_without_none(asdict(table)) for table in self.tables],
            **({"keys": [asdict(keys) for keys in self.keys]} if self.keys else {}),
            "groups": [
                {
                    "layout": group.layout.to_json(),
                    "fields": [_told(bag) for bag in group.fields],
                    "first": [_told(bag) for bag in group.first],
                    "sequences": [[_told(bag) for bag in bags] for bags in group.sequences],
                }
                for group in self.groups.values()
            ],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The plan that `to_json` wrote."""
        tables = tuple(
            TableSpec(**{**t, "features": tuple(t["features"]), "init": Initializer(**t["init"])})
            for t in data["tables"]
        )
        groups = [
            GroupPlan(
                GroupLayout.from_json(g["layout"]),
                _bags(g["fields"]),
                _bags(g["first"]),
                tuple(_bags(bags) for bags in g["sequences"]),
            )
            for g in data["groups"]
        ]
        keys = tuple(KeySpec(**k) for k in data.get("keys", ()))
        return cls(tables, {group.layout.name: group for group in groups}, keys)


def _without_none(data: dict[str, Any]) -> dict[str, Any]:
    """Without the keys that say nothing: former releases do not know them."""
    return {key: value for key, value in data.items() if value is not None}


def _told(bag: BagSpec) -> dict[str, Any]:
    """A bag as plain data, without what only composed ones have where it is none."""
    data = asdict(bag)
    if bag.part is None:
        del data["part"]
    if not bag.single:
        del data["single"]
    return data


def _bags(data: Iterable[Mapping[str, Any]]) -> tuple[BagSpec, ...]:
    return tuple(BagSpec(**{**bag, "part": Part(**bag["part"]) if bag.get("part") else None}) for bag in data)
