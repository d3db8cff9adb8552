"""How often each row of the tables is looked up. Knows no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from easyrec.embedding.keys import FinishedKeys
from easyrec.embedding.lookup import Columns, parts_of
from easyrec.embedding.native import key_slots
from easyrec.embedding.served import ServedTables


def count_rows(tables: ServedTables, parts: Iterable[Columns]) -> dict[str, np.ndarray]:
    """(rows,) int64 of each table that ids are looked up in: how often those of some columns ask for each row.

    An id counts once for each place where it stands; a table that several features share counts them all.
    """
    plan = tables.plan
    keys = {name: FinishedKeys(key_slots(*held)) for name, held in tables.keys.items()}
    keyed = plan.keyed
    specs = {spec.name: spec for spec in plan.tables}
    every = (bag for group in plan.groups.values() for bag in group.bags if bag.kind == "ids" and bag.table)
    bags = list({(bag.feature, bag.table): replace(bag, single=False) for bag in every}.values())
    counts = {bag.table: np.zeros(specs[bag.table].rows, np.int64) for bag in bags if bag.table}
    for columns in parts:
        for bag in bags:
            rows = np.ascontiguousarray(parts_of(bag, columns)[0])
            if bag.feature in keyed:
                rows = keys[keyed[bag.feature]].find(rows)
            assert bag.table is not None
            found = counts[bag.table]
            found += np.bincount(rows[(rows >= 0) & (rows < len(found))], minlength=len(found))
    return counts
