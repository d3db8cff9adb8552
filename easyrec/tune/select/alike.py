"""Which features tell each other: copies under another name, hashes of one another, bins of the same number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 50_000
"""Rows that are compared."""
BINS = 64
"""Of numbers."""
LEAST = 0.1
"""Nats above chance that a column must be able to tell: where nearly every row has a value of its own, all tell all."""

Pairs: TypeAlias = dict[tuple[str, str], float]


def alike(file: Path, units: Mapping[str, Sequence[str]], least: float) -> Pairs:
    """Pairs of units of one feature each that tell each other at least so well, in the order of the units.

    Of columns x and y it is ``(I(x; y) - I(x; y')) / (max(H(x), H(y)) - I(x; y'))``, y' being y at other rows: 0 by
    chance, 1 where either tells the other for certain. An item tells its category, but not the other way: they are not
    alike.

    Source:
        Vinh, Epps, Bailey, "Information Theoretic Measures for Clusterings Comparison", JMLR 2010, the adjusted mutual
        information with the maximum, the mean under permutation being that of one permutation.
    """
    single = {features[0]: unit for unit, features in units.items() if len(features) == 1}
    codes = {single[name]: column for name, column in _codes(file, list(single))}
    entropy = {unit: _entropy(np.bincount(column)) for unit, column in codes.items()}
    order = np.random.default_rng(0).permutation(len(next(iter(codes.values()), ())))
    found: Pairs = {}
    for a, b in combinations([unit for unit in units if unit in codes], 2):
        low, high = sorted((entropy[a], entropy[b]))
        if low < least * high or not high:
            continue  # the ratio is at most low / high
        chance = low + high - _joint(codes[a], codes[b][order])
        if high - chance < LEAST:
            continue
        told = (low + high - _joint(codes[a], codes[b]) - chance) / (high - chance)
        if told >= least:
            found[(a, b)] = min(told, 1.0)
    return found


def tellers(
    file: Path, units: Mapping[str, Sequence[str]], told: Sequence[str], among: Sequence[str], least: float
) -> dict[str, list[str]]:
    """Of units those others that tell them at least so well, as a cross tells its parts; the other way does not matter.

    Of columns x and t it is ``(I(x; t) - I(x; t')) / (H(x) - I(x; t'))``, see `alike`.

    Args:
        file: The features.
        units: Features by unit.
        told: Units that may be told.
        among: Units that may tell them.
        least: How well.
    """
    single = {units[unit][0]: unit for unit in {*told, *among} if len(units[unit]) == 1}
    codes = {single[name]: column for name, column in _codes(file, list(single))}
    entropy = {unit: _entropy(np.bincount(column)) for unit, column in codes.items()}
    order = np.random.default_rng(0).permutation(len(next(iter(codes.values()), ())))
    found: dict[str, list[str]] = {}
    for x in told:
        for t in among:
            if x == t or x not in codes or t not in codes or entropy[t] < least * entropy[x]:
                continue
            both = entropy[x] + entropy[t]
            chance = both - _joint(codes[x], codes[t][order])
            if entropy[x] - chance < LEAST:
                continue
            if (both - _joint(codes[x], codes[t]) - chance) / (entropy[x] - chance) >= least:
                found.setdefault(x, []).append(t)
    return found


def families(pairs: Pairs) -> list[list[str]]:
    """Units that are alike by one or more steps, together."""
    found: list[list[str]] = []
    for pair in pairs:
        touched = [family for family in found if set(pair) & set(family)]
        found = [family for family in found if family not in touched]
        found.append(list(dict.fromkeys([*(unit for family in touched for unit in family), *pair])))
    return found


def told_by(pairs: Pairs, a: str, b: str) -> float:
    """How well two units tell each other, where that was enough to be noted; else 0."""
    return max(pairs.get((a, b), 0.0), pairs.get((b, a), 0.0))


def _codes(file: Path, names: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Columns as whole numbers from 0, equal where values are; those that cannot be are left out."""
    with pq.ParquetFile(file) as source:
        groups, rows = [], 0
        for number in range(source.num_row_groups):
            groups.append(number)
            rows += source.metadata.row_group(number).num_rows
            if rows >= ROWS:
                break
        for name in names:  # a column at a time: sequences are long
            column = source.read_row_groups(groups, [name]).column(name).slice(0, ROWS).combine_chunks()
            coded = _coded(column)
            if coded is not None:
                yield name, coded


def _coded(column: pa.Array) -> np.ndarray | None:
    kind = column.type
    if pa.types.is_floating(kind):
        values = column.to_numpy(zero_copy_only=False)
        edges = np.unique(np.nanquantile(values, np.linspace(0, 1, BINS + 1)[1:-1])) if len(values) else np.zeros(0)
        bins: np.ndarray = np.searchsorted(edges, np.nan_to_num(values, nan=-np.inf), side="right")
        return bins
    if pa.types.is_integer(kind):
        return _numbered(column.fill_null(-1).to_numpy(zero_copy_only=False))
    if pa.types.is_map(kind):
        offsets, values = column.offsets.to_numpy(), column.keys
    elif pa.types.is_list(kind) and pa.types.is_integer(kind.value_type):
        offsets, values = column.offsets.to_numpy(), column.values
    else:
        return None
    # A list is told by the sum of its mixed values, its length, and its first value.
    mixed = (values.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.uint64) + 1) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed * np.uint64(0xBF58476D1CE4E5B9))])
    return _numbered(sums[offsets[1:]] - sums[offsets[:-1]] + np.diff(offsets).astype(np.uint64))


def _numbered(values: np.ndarray) -> np.ndarray:
    numbers: np.ndarray = np.unique(values, return_inverse=True)[1]
    return numbers


def _joint(x: np.ndarray, y: np.ndarray) -> float:
    """Entropy of pairs."""
    pairs = x.astype(np.int64) * (int(y.max(initial=0)) + 1) + y
    return _entropy(np.unique(pairs, return_counts=True)[1])


def _entropy(counts: np.ndarray) -> float:
    """In nats."""
    counts = counts[counts > 0]
    total = counts.sum()
    return float(np.log(total) - (counts * np.log(counts)).sum() / total) if total else 0.0
