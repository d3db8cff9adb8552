"""Sums over fields of what follows from each, computed ahead for tables with few rows. Knows no torch.

What a program makes of a field is often added to what it makes of others: a row of a table times a matrix, in the first
layer; the row itself and its square, in a factorization machine. For all rows of a small table that is computed once, and
a candidate costs no more than adding up a row for each of its fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from easyrec.embedding import native
from easyrec.embedding.encoded import Encoded, floats_of
from easyrec.embedding.lookup import Columns, described, parts_of
from easyrec.embedding.spec import BagSpec, EmbeddingPlan
from easyrec.errors import DataError

GROUP = 16
"""Columns of one power: a block has as many more columns of zeros as it lacks."""


@dataclass(frozen=True)
class Block:
    """A part of the sums.

    Attributes:
        power: Of what is multiplied: 1, or 2 for squares.
        matrix: (columns of all fields that are added up, n).
    """

    power: int
    matrix: np.ndarray

    @property
    def width(self) -> int:
        """Columns that it takes."""
        columns: int = self.matrix.shape[1]
        return -(-columns // GROUP) * GROUP


@dataclass(frozen=True)
class SumsOf:
    """What is added up for an input.

    Attributes:
        features: Those whose sums are given, in the order of the rows of the blocks' matrices.
        blocks: Side by side.
    """

    features: tuple[str, ...]
    blocks: tuple[Block, ...]

    @property
    def width(self) -> int:
        """Columns of the sums."""
        return sum(block.width for block in self.blocks)

    @cached_property
    def powers(self) -> list[int]:
        """The power of each `GROUP` of columns."""
        return [block.power for block in self.blocks for _ in range(block.width // GROUP)]

    @cached_property
    def matrix(self) -> np.ndarray:
        """All of the blocks' matrices, (columns of all fields, width)."""
        parts = [np.pad(b.matrix, ((0, 0), (0, b.width - b.matrix.shape[1]))) for b in self.blocks]
        return np.ascontiguousarray(np.concatenate(parts, axis=1), np.float32)

    def of_rows(self, rows: np.ndarray, first: int) -> np.ndarray:
        """What follows from each row of a table, whose columns begin at `first`."""
        wide, found = rows.astype(np.float64), []
        for block in self.blocks:
            part = wide**block.power @ block.matrix[first : first + rows.shape[1]].astype(np.float64)
            found.append(np.pad(part, ((0, 0), (0, block.width - part.shape[1]))))
        return np.ascontiguousarray(np.concatenate(found, axis=1), np.float32)


class FieldSums:
    """The sums of an input, and what is added up.

    Args:
        sums: What is added up.
        bags: Of the features, in their order; numbers are copied.
        plan: Of the tables.
        tables: Native tables in the order of the plan.
        weights: The tables by name.
    """

    def __init__(
        self,
        sums: SumsOf,
        bags: Sequence[BagSpec],
        plan: EmbeddingPlan,
        tables: object,
        weights: Mapping[str, np.ndarray | Encoded],
    ) -> None:
        self.width, self.bags = sums.width, tuple(bags)
        index = {table.name: i for i, table in enumerate(plan.tables)}
        self._bags = native.Bags(tables, described(bags, index, plan.keyed, steps=False))
        ahead: list[np.ndarray | None] = []
        first = 0
        for bag in bags:
            array = None if bag.table is None else weights[bag.table]
            ahead.append(None if array is None else sums.of_rows(floats_of(array), first))
            first += bag.dim
        self._sums = native.Sums([bag.dim for bag in bags], sums.matrix, sums.powers, ahead)

    def __call__(self, columns: Columns, out: np.ndarray) -> int:
        """Add up into `out`, (rows, width); how many ids were outside their table.

        Raises:
            DataError: A column has not the shape that the plan expects.
        """
        try:
            call = self._bags.bind([parts_of(bag, columns) for bag in self.bags], columns.size)
            found: int = self._sums.run(call, out)
        except (TypeError, ValueError, IndexError) as error:  # the binding's checks of shape and type
            raise DataError(str(error)) from error
        return found
