"""What lookup and update mean, in plain numpy and float64: the specification that the kernels are tested against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from easyrec.embedding.lookup import Columns
from easyrec.embedding.search import Parts, directions
from easyrec.embedding.shared_keys import holders
from easyrec.embedding.spec import BagSpec, EmbeddingPlan, GroupPlan
from easyrec.layout import Search, SequenceLayout

if TYPE_CHECKING:
    from easyrec.config.train import SparseOptimizer

Arrays = dict[str, np.ndarray]


def lookup(plan: EmbeddingPlan, weights: Mapping[str, np.ndarray], columns: Columns) -> Arrays:
    """The `emb:`, `first:` and `seq:` tensors by their definition."""
    result: Arrays = {}
    for key, bags, size, parts in _buffers(plan, columns, weights):
        out = np.zeros((size, sum(bag.dim for bag in bags)))
        for bag, part in zip(bags, parts, strict=True):
            place = slice(bag.start, bag.start + bag.dim)
            if bag.table is None:
                for row, element, share in _elements(bag, part, size):
                    out[row, place] += share * part[0][element]
            else:
                for row, index, factor in _terms(bag, part, size):
                    out[row, place] += factor * weights[bag.table][index]
        result[key] = out
    return result


def gradients(
    plan: EmbeddingPlan,
    columns: Columns,
    upstream: Mapping[str, np.ndarray],
    weights: Mapping[str, np.ndarray] | None = None,
) -> tuple[Arrays, dict[str, np.ndarray]]:
    """The gradient of every table, dense, and which of its rows were looked up.

    Args:
        plan: What was looked up.
        columns: In which columns.
        upstream: Gradients of the tensors of `lookup`.
        weights: Of each table, where a search compares them.
    """
    sums = {spec.name: np.zeros((spec.rows, spec.dim)) for spec in plan.tables}
    seen = {spec.name: np.zeros(spec.rows, bool) for spec in plan.tables}
    for key, bags, size, parts in _buffers(plan, columns, weights or {}):
        if key not in upstream:
            continue
        for bag, part in zip(bags, parts, strict=True):
            if bag.table is None:
                continue
            if bag.kind == "linear" and size:
                seen[bag.table][:] = True
            for row, index, factor in _terms(bag, part, size):
                sums[bag.table][index] += factor * upstream[key][row, bag.start : bag.start + bag.dim]
                seen[bag.table][index] = True
    return sums, seen


def step(
    optimizer: SparseOptimizer,
    weights: np.ndarray,
    states: Mapping[str, np.ndarray],
    gradient: np.ndarray,
    seen: np.ndarray,
    number: int,
    lr: float,
    regularizer: float = 0.0,
) -> None:
    """One step on one table, in place.

    Args:
        optimizer: The rule.
        weights: (rows, dim).
        states: The arrays that `easyrec.embedding.tables.STATES` names.
        gradient: (rows, dim), without the regularizer's part.
        seen: (rows,), rows of the step; the others move only under `adam` or a regularizer.
        number: 1 for the first step.
        lr: Learning rate.
        regularizer: lambda; every row's gradient grows by lambda * weights.
    """
    rows = np.ones(len(weights), bool) if regularizer or optimizer.type == "adam" else seen
    w = weights[rows]
    g = gradient[rows] + regularizer * w
    if optimizer.type in ("adam", "lazy_adam"):
        beta1, beta2 = optimizer.betas
        m = beta1 * states["m"][rows] + (1 - beta1) * g
        v = beta2 * states["v"][rows] + (1 - beta2) * g**2
        states["m"][rows], states["v"][rows] = m, v
        w = w - lr * (m / (1 - beta1**number)) / (np.sqrt(v / (1 - beta2**number)) + optimizer.eps)
    elif optimizer.type == "rowwise_adagrad":
        total = states["sum"][rows] + np.mean(g**2, axis=1, keepdims=True)
        states["sum"][rows] = total
        w = w - lr * g / (np.sqrt(total) + optimizer.eps)
    elif optimizer.type == "adagrad":
        total = states["sum"][rows] + g**2
        states["sum"][rows] = total
        w = w - lr * g / (np.sqrt(total) + optimizer.eps)
    elif optimizer.type == "ftrl":
        n = states["n"][rows]
        z = states["z"][rows] + g - (np.sqrt(n + g**2) - np.sqrt(n)) / lr * w
        n = n + g**2
        states["z"][rows], states["n"][rows] = z, n
        pulled = -(z - np.sign(z) * optimizer.l1) / ((optimizer.beta + np.sqrt(n)) / lr + optimizer.l2)
        w = np.where(np.abs(z) <= optimizer.l1, 0.0, pulled)
    else:
        w = w - lr * g
    weights[rows] = w


def kept_steps(
    search: Search, steps: Parts, candidates: Parts, rows: int, table: np.ndarray | None = None
) -> list[list[int]]:
    """For each row the steps that a search keeps, oldest first.

    Args:
        search: What is kept.
        steps: The column of the child that is compared.
        candidates: The column that it is compared with.
        rows: Number of rows.
        table: (rows, dim), the embeddings of both.
    """
    result = []
    offsets = np.arange(rows + 1) if steps[1] is None else steps[1]
    for row in range(rows):
        own = list(range(offsets[row], offsets[row + 1]))
        if search.kind == "newest":
            result.append(own[-search.top :])
            continue
        others = candidates[1]
        elements = range(row, row + 1) if others is None else range(others[row], others[row + 1])
        wanted = [i for element in elements for i in _ids(candidates, element)]
        if search.kind == "hard":
            result.append([step for step in own if set(_ids(steps, step)) & set(wanted)][-search.top :])
            continue
        assert table is not None
        goodness = [_likeness(search, table, _ids(steps, step)[:1], wanted[:1]) for step in own]
        best = sorted(own, key=lambda step: (goodness[step - own[0]], step), reverse=True)[: search.top]
        result.append(sorted(best))
    return result


def _ids(part: Parts, element: int) -> list[int]:
    values, _, _, keys = part
    return [
        int(i) for i in (values[element : element + 1] if keys is None else values[keys[element] : keys[element + 1]])
    ]


def _likeness(search: Search, table: np.ndarray, one: list[int], two: list[int]) -> float:
    """How alike the rows of two ids are; steps without a row come last, and without a candidate all are alike."""
    if not two or not 0 <= two[0] < len(table):
        return 0.0
    if not one or not 0 <= one[0] < len(table):
        return -np.inf
    a, b = table[one[0]].astype(np.float64), table[two[0]].astype(np.float64)
    if search.kind == "soft":
        return float(a @ b)
    sides = directions(table.shape[1], search.seed).astype(np.float64)[:, : search.bits]
    return -float(((a @ sides > 0) != (b @ sides > 0)).sum())


def _buffers(
    plan: EmbeddingPlan, columns: Columns, weights: Mapping[str, np.ndarray]
) -> Iterator[tuple[str, Sequence[BagSpec], int, list[Parts]]]:
    """Key, bags, rows and inputs of every tensor."""
    for name, group in plan.groups.items():
        if group.layout.width:
            yield f"emb:{name}", group.fields, columns.size, [_parts(bag, columns) for bag in group.fields]
        if group.first:
            yield f"first:{name}", group.first, columns.size, [_parts(bag, columns) for bag in group.first]
        yield from _steps(name, group, columns, weights)


def _steps(
    name: str, group: GroupPlan, columns: Columns, weights: Mapping[str, np.ndarray]
) -> Iterator[tuple[str, Sequence[BagSpec], int, list[Parts]]]:
    """A sequence gives one row per element: whatever belongs to an element is that row's."""
    for layout, bags in zip(group.layout.sequences, group.sequences, strict=True):
        parts = [columns.ragged(bag.feature) for bag in bags]
        if layout.search is not None:
            kept = [step for row in _searched(layout, bags, columns, weights) for step in row]
            parts = [_only(part, kept) for part in parts]
        size = len(parts[0][0]) if parts[0][3] is None else len(parts[0][3]) - 1
        yield f"seq:{name}/{layout.name}", bags, size, [(values, None, w, keys) for values, _, w, keys in parts]


def _searched(
    layout: SequenceLayout, bags: Sequence[BagSpec], columns: Columns, weights: Mapping[str, np.ndarray]
) -> list[list[int]]:
    search = layout.search
    assert search is not None
    place = next((i for i, child in enumerate(layout.children) if child.name == search.child), 0)
    candidate, table = layout.query[place], bags[place].table
    steps = columns.ragged(bags[place].feature)
    others = steps if search.kind == "newest" else columns.ragged(candidate or "")
    return kept_steps(search, steps, others, columns.size, weights.get(table or ""))


def _only(part: Parts, kept: list[int]) -> Parts:
    """Some elements of a column."""
    values, _, weights, keys = part
    if keys is None:
        return values[kept], None, None if weights is None else weights[kept], None
    places = [key for element in kept for key in range(keys[element], keys[element + 1])]
    ends = np.cumsum([0, *(keys[element + 1] - keys[element] for element in kept)])
    return values[places], None, None if weights is None else weights[places], ends


def _parts(bag: BagSpec, columns: Columns) -> Parts:
    if bag.feature in columns.dense_slices:
        return columns.dense[:, columns.dense_slices[bag.feature]], None, None, None
    return columns.ragged(bag.feature)


def _elements(bag: BagSpec, part: Parts, size: int) -> Iterator[tuple[int, int, float]]:
    """(row, element, share) of all elements; the share is 1 / elements of the row under `mean`."""
    offsets = np.arange(size + 1) if part[1] is None else part[1]
    for row in range(size):
        count = offsets[row + 1] - offsets[row]
        for element in range(offsets[row], offsets[row + 1]):
            yield row, element, 1.0 / count if bag.mean else 1.0


def _terms(bag: BagSpec, part: Parts, size: int) -> Iterator[tuple[int, int, float]]:
    """(row, row of the table, factor): an output row is the sum of factor * row of the table."""
    values, _, weights, key_offsets = part
    for row, element, share in _elements(bag, part, size):
        if bag.kind == "linear":
            for index in range(bag.value_dim):
                yield row, index, share * float(values[element, index])
            continue
        keys = range(element, element + 1)
        if key_offsets is not None:
            keys = range(key_offsets[element], key_offsets[element + 1])
        for key in keys:
            factor = share / len(keys) if bag.element_mean else share
            yield row, int(values[key]), factor * (1.0 if weights is None else float(weights[key]))


def wanted(
    units: Sequence[tuple[int, int]], columns: Sequence[tuple[np.ndarray, int]], workers: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Which rows a batch needs of whom: rows, counts, where they begin and end, and places.

    Args:
        units: Number of ids (-1: any number is one, and its hash says who holds it), and the holder (-1: by row).
        columns: Ids of a feature, and its unit.
        workers: How many there are.
    """
    asked: dict[tuple[int, int], dict[int, int]] = {(w, u): {} for w in range(workers) for u in range(len(units))}
    found = []
    for ids, unit in columns:
        size, holder = units[unit]
        of = holders(ids, workers) if size < 0 else ids % workers if holder < 0 else np.full(len(ids), holder)
        rows = ids // workers if size >= 0 > holder else ids
        for worker, row in zip(of.tolist(), rows.tolist(), strict=True):
            of_unit = asked[worker, unit]
            found.append((worker, unit, of_unit.setdefault(row, len(of_unit))))
    counts = np.array([[len(asked[w, u]) for u in range(len(units))] for w in range(workers)], np.int64)
    here = np.pad(np.cumsum(counts, axis=0), ((1, 0), (0, 0))).T
    every = np.array([row for of_unit in asked.values() for row in of_unit], np.int64)
    return every, counts, here, np.array([here[unit, worker] + at for worker, unit, at in found], np.int64)
