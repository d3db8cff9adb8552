"""An embedding plan in two: what a request looks up once, and what it looks up for every candidate. Knows no torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from easyrec.embedding.lookup import TableColumns
from easyrec.embedding.spec import BagSpec, EmbeddingPlan, GroupPlan
from easyrec.layout import GroupLayout, NumericField, Span

if TYPE_CHECKING:
    from easyrec.embedding.reader import TableReader
    from easyrec.embedding.sums import SumsOf
    from feature_generator import Table

USER, ITEM = "user/", "item/"
"""Before the key of an input of a program for requests: its columns of that side, one row, or a row per candidate."""


def user_columns(plan: EmbeddingPlan, user: Collection[str]) -> dict[str, list[bool]]:
    """By key of a flat tensor, whether each of its columns is the user's.

    Args:
        plan: Tables and groups.
        user: The features that a request has once.
    """
    columns: dict[str, list[bool]] = {}
    for name, group in plan.groups.items():
        layout = group.layout
        if layout.width:
            columns[f"emb:{name}"] = [bag.feature in user for bag in group.fields for _ in range(bag.dim)]
        if layout.first_order:
            columns[f"first:{name}"] = [bag.feature in user for bag in group.first for _ in range(bag.dim)]
        if layout.dense:
            columns[f"dense:{name}"] = [span.name in user for span in layout.dense for _ in range(span.dim)]
        if layout.numeric:
            columns[f"num:{name}"] = [field.name in user for field in layout.numeric for _ in range(field.size)]
    return columns


def user_sequences(plan: EmbeddingPlan, user: Collection[str]) -> list[str]:
    """The sequences that are the user's, as `<group>/<sequence>`; not those whose steps are chosen for a candidate."""
    return [
        f"{name}/{layout.name}"
        for name, group in plan.groups.items()
        for layout, bags in zip(group.layout.sequences, group.sequences, strict=True)
        if all(bag.feature in user for bag in bags) and (layout.search is None or layout.search.kind == "newest")
    ]


def side_plans(
    plan: EmbeddingPlan, user: Collection[str], apart: Collection[str], folded: Collection[str] = ()
) -> tuple[EmbeddingPlan, EmbeddingPlan]:
    """What is looked up for a request, and for each candidate; both over the same tables.

    Args:
        plan: Tables and groups.
        user: The features that a request has once.
        apart: The sequences that are looked up once.
        folded: The groups whose numbers the program is given as they are, behind its other columns.
    """
    sides = []
    for mine in (True, False):
        groups = {name: _part(group, user, apart, mine=mine) for name, group in plan.groups.items()}
        groups |= {name: _as_numbers(groups[name]) for name in folded}
        sides.append(replace(plan, groups=groups))
    return sides[0], sides[1]


class SidesReader:
    """Looks up what a program for requests reads.

    Args:
        tables: The tables.
        user: The features that a request has once.
        apart: The sequences that are looked up once.
        folded: The groups whose numbers the program is given as they are.
        sums: By input of the candidates, the sums over fields that the program is given behind the other fields.

    Attributes:
        item_plan: What is looked up for each candidate.
    """

    def __init__(
        self,
        tables: TableReader,
        user: Collection[str],
        apart: Collection[str],
        folded: Collection[str] = (),
        sums: Mapping[str, SumsOf] | None = None,
    ) -> None:
        plan, self.item_plan = side_plans(tables.plan, user, apart, folded)
        given = {key.removeprefix(ITEM): one for key, one in (sums or {}).items()}
        groups = {name: _without(group, given) for name, group in self.item_plan.groups.items()}
        self._user, self._item = tables.over(plan), tables.over(replace(self.item_plan, groups=groups))
        self._sums = {key: tables.sums(one, _bags_of(self.item_plan, key, one)) for key, one in given.items()}

    @property
    def out_of_range(self) -> int:
        """How many ids lay outside their table."""
        return self._user.out_of_range + self._item.out_of_range

    def lookup(self, once: Table, each: Table) -> dict[str, np.ndarray]:
        """The inputs of the program.

        Args:
            once: What the request has once, one row.
            each: The candidates.
        """
        return self.of_user(once) | self.of_items(each)

    def of_user(self, once: Table) -> dict[str, np.ndarray]:
        """Those inputs that the request has once."""
        return {USER + key: array for key, array in self._user.lookup(once).items()}

    def of_items(self, each: Table) -> dict[str, np.ndarray]:
        """Those inputs that follow from the candidates."""
        columns = TableColumns(each)
        found = self._item.read(columns)
        for key, sums in self._sums.items():
            rest = found.get(key)
            width = 0 if rest is None else rest.shape[1]
            out = np.empty((columns.size, width + sums.width), np.float32)
            if rest is not None:
                out[:, :width] = rest
            self._item.count(sums(columns, out[:, width:]))
            found[key] = out
        return {ITEM + key: array for key, array in found.items()}


def _part(group: GroupPlan, user: Collection[str], apart: Collection[str], *, mine: bool) -> GroupPlan:
    layout = group.layout
    fields = _side_by_side([bag for bag in group.fields if (bag.feature in user) is mine])
    first = _side_by_side([bag for bag in group.first if (bag.feature in user) is mine])
    kept = [
        (sequence, bags)
        for sequence, bags in zip(layout.sequences, group.sequences, strict=True)
        if (f"{layout.name}/{sequence.name}" in apart) is mine
    ]
    numeric: list[NumericField] = []
    for field in layout.numeric:
        if (field.name in user) is mine:
            numeric.append(replace(field, start=sum(f.size for f in numeric)))
    own = GroupLayout(
        layout.name,
        fields=tuple(Span(bag.feature, bag.dim, bag.start) for bag in fields),
        dense=_spans([span for span in layout.dense if (span.name in user) is mine]),
        sequences=tuple(sequence for sequence, _ in kept),
        first_order=layout.first_order and bool(first),
        numeric=tuple(numeric),
    )
    return GroupPlan(own, fields, first, tuple(bags for _, bags in kept))


def _as_numbers(group: GroupPlan) -> GroupPlan:
    """The group with numbers as they are in place of what they are multiplied with, behind its other columns."""
    fields, first = (_side_by_side(_numbers_last(bags)) for bags in (group.fields, group.first))
    spans = tuple(Span(bag.feature, bag.dim, bag.start) for bag in fields)
    return replace(group, layout=replace(group.layout, fields=spans), fields=fields, first=first)


def _without(group: GroupPlan, sums: Mapping[str, SumsOf]) -> GroupPlan:
    """The group without fields that are given as sums."""
    name = group.layout.name
    parts = []
    for key, bags in ((f"emb:{name}", group.fields), (f"first:{name}", group.first)):
        given = sums[key].features if key in sums else ()
        parts.append(_side_by_side([bag for bag in bags if bag.feature not in given]))
    fields, first = parts
    spans = tuple(Span(bag.feature, bag.dim, bag.start) for bag in fields)
    layout = replace(group.layout, fields=spans, first_order=group.layout.first_order and bool(first))
    return replace(group, layout=layout, fields=fields, first=first)


def _bags_of(plan: EmbeddingPlan, key: str, sums: SumsOf) -> list[BagSpec]:
    """The bags of an input that are added up."""
    kind, _, name = key.partition(":")
    bags = plan.groups[name].fields if kind == "emb" else plan.groups[name].first
    known = {bag.feature: bag for bag in bags}
    return [known[feature] for feature in sums.features]


def _numbers_last(bags: Sequence[BagSpec]) -> list[BagSpec]:
    given = [
        replace(bag, kind="copy", table=None, dim=min(bag.dim, 1) * bag.value_dim)  # of width 0: it is not read
        for bag in bags
        if bag.kind == "linear"
    ]
    return [*(bag for bag in bags if bag.kind != "linear"), *given]


def _side_by_side(bags: Sequence[BagSpec]) -> tuple[BagSpec, ...]:
    placed: list[BagSpec] = []
    for bag in bags:
        placed.append(replace(bag, start=sum(b.dim for b in placed)))
    return tuple(placed)


def _spans(spans: Sequence[Span]) -> tuple[Span, ...]:
    placed: list[Span] = []
    for span in spans:
        placed.append(replace(span, start=sum(s.dim for s in placed)))
    return tuple(placed)
