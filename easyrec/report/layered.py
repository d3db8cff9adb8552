"""A layered layout of a directed graph, from left to right: columns, orders that cross little, places. Deterministic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

SWEEPS = 12


@dataclass
class Placed:
    """Where the nodes of a graph lie.

    Attributes:
        column: Column of each node, counted from the left.
        middle: Height of each node's middle.
        routes: For each edge the (column, height) of the points between its ends, one per column that it passes.
        height: Height of all together.
    """

    column: dict[str, int] = field(default_factory=dict)
    middle: dict[str, float] = field(default_factory=dict)
    routes: dict[tuple[str, str], list[tuple[int, float]]] = field(default_factory=dict)
    height: float = 0.0


def place(reads: Mapping[str, Sequence[str]], heights: Mapping[str, float], gap: float) -> Placed:
    """Lay out a graph without circles.

    Args:
        reads: For each node those that it reads, in order; a node without any is in the first column.
        heights: Height of each node.
        gap: Least distance between two nodes of a column.
    """
    columns, chains = _columns(reads)
    before, after = _neighbours(chains)
    size = {node: heights.get(node, 0.0) for column in columns for node in column}
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        for column in columns if forward else reversed(columns):
            near, order = (before if forward else after), _order(columns)
            ranks = {n: _mean([order[m] for m in near.get(n, ())], order[n]) for n in column}
            column.sort(key=lambda node: ranks[node])
    middle = _heights(columns, before, after, size, gap)
    found = Placed({n: i for i, column in enumerate(columns) for n in column if n in reads})
    found.middle = {node: middle[node] for node in reads}
    for edge, chain in chains.items():
        found.routes[edge] = [(found.column[edge[0]] + i + 1, middle[node]) for i, node in enumerate(chain[1:-1])]
    found.height = max((middle[n] + size[n] / 2 for column in columns for n in column), default=0.0)
    return found


def _columns(reads: Mapping[str, Sequence[str]]) -> tuple[list[list[str]], dict[tuple[str, str], list[str]]]:
    """Nodes by column, with stand-ins where an edge passes a column; and the nodes along each edge."""
    depth: dict[str, int] = {}

    def of(node: str) -> int:
        if node not in depth:
            depth[node] = max((of(other) + 1 for other in reads[node]), default=0)
        return depth[node]

    for node in reads:
        of(node)
    readers: dict[str, list[str]] = {node: [] for node in reads}
    for node, others in reads.items():
        for other in others:
            readers[other].append(node)
    for node in sorted(reads, key=lambda n: -depth[n]):  # what has room moves to its readers, so that edges are short
        if readers[node] and not reads[node]:
            depth[node] = min(depth[reader] for reader in readers[node]) - 1
    columns: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for node in reads:
        columns[depth[node]].append(node)
    chains: dict[tuple[str, str], list[str]] = {}
    for node, others in reads.items():
        for other in others:
            passed = [f"{other}>{node}@{column}" for column in range(depth[other] + 1, depth[node])]
            for offset, stand_in in enumerate(passed):
                if stand_in not in columns[depth[other] + 1 + offset]:
                    columns[depth[other] + 1 + offset].append(stand_in)
            chains[other, node] = [other, *passed, node]
    return columns, chains


def _neighbours(chains: Mapping[tuple[str, str], list[str]]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """The nodes in the column before and in that after each node."""
    before: dict[str, list[str]] = {}
    after: dict[str, list[str]] = {}
    for chain in chains.values():
        for left, right in pairwise(chain):
            before.setdefault(right, []).append(left)
            after.setdefault(left, []).append(right)
    return before, after


def _order(columns: Sequence[Sequence[str]]) -> dict[str, float]:
    """Place of each node in its column, from 0 to 1."""
    return {n: (i + 0.5) / len(column) for column in columns for i, n in enumerate(column)}


def _heights(
    columns: Sequence[Sequence[str]],
    before: Mapping[str, Sequence[str]],
    after: Mapping[str, Sequence[str]],
    size: Mapping[str, float],
    gap: float,
) -> dict[str, float]:
    """Heights that draw each node towards its neighbours, in the order of its column."""
    middle: dict[str, float] = {}
    for column in columns:
        top = 0.0
        for node in column:
            middle[node] = top + size[node] / 2
            top += size[node] + gap
    for sweep in range(SWEEPS):
        for column in columns if sweep % 2 == 0 else reversed(columns):
            near = before if sweep % 2 == 0 else after
            wanted = {n: _mean([middle[m] for m in near.get(n, ())], middle[n]) for n in column}
            at: list[float] = []
            for index, node in enumerate(column):
                least = at[-1] + (size[column[index - 1]] + size[node]) / 2 + gap if at else float("-inf")
                at.append(max(wanted[node], least))
            shift = _mean([wanted[node] - y for node, y in zip(column, at, strict=True)], 0.0)
            middle |= {node: y + shift for node, y in zip(column, at, strict=True)}
    top = min((middle[node] - size[node] / 2 for column in columns for node in column), default=0.0)
    return {node: y - top for node, y in middle.items()}


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
