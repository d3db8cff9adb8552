"""What an embedding plan is made of: tables, and the bags that fill a group's columns. Plain data, no torch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from typing_extensions import Self

from easyrec.layout import GroupLayout


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
class TableSpec:
    """One embedding table.

    Attributes:
        name: The `embedding_name`; tables of first-order weights end in `:first`.
        rows: Number of ids; for linear fields the number of values per row.
        dim: Width of a row.
        features: Outputs that look up here.
        trainable: Whether training changes it.
        init: How it is filled.
    """

    name: str
    rows: int
    dim: int
    features: tuple[str, ...]
    trainable: bool
    init: Initializer

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return self.rows * self.dim

    @property
    def bytes(self) -> int:
        """Memory of the weights in fp32, optimizer state not counted."""
        return 4 * self.parameters


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
    """

    feature: str
    kind: Literal["ids", "linear", "copy"]
    dim: int
    start: int
    table: str | None = None
    value_dim: int = 1
    mean: bool = False
    element_mean: bool = False


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
        return type(self)(tuple(table for table in self.tables if table.name in used), chosen)

    def to_json(self) -> dict[str, Any]:
        """The plan as plain data."""
        return {
            "tables": [asdict(table) for table in self.tables],
            "groups": [
                {
                    "layout": group.layout.to_json(),
                    "fields": [asdict(bag) for bag in group.fields],
                    "first": [asdict(bag) for bag in group.first],
                    "sequences": [[asdict(bag) for bag in bags] for bags in group.sequences],
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
        return cls(tables, {group.layout.name: group for group in groups})


def _bags(data: Iterable[Mapping[str, Any]]) -> tuple[BagSpec, ...]:
    return tuple(BagSpec(**bag) for bag in data)
