"""What the rows of a batch may cost together, where rows differ: the steps of their sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from feature_generator.columns import Column, Table


@dataclass(frozen=True)
class BatchCost:
    """A bound on the steps in a batch.

    Attributes:
        sequences: Outputs of the generator whose elements are counted.
        most: Of these in a batch; a row that has more is a batch of its own.
    """

    sequences: Sequence[str]
    most: int

    def before(self, table: Table, order: np.ndarray | None) -> np.ndarray:
        """(n+1,) int64, what the rows of a table cost that come before a place of an order; None: as they stand."""
        costs = np.zeros(table.num_rows, np.int64)
        for name in self.sequences:
            column = table[name]
            assert not isinstance(column, Column)
            costs += 1 if column.offsets is None else np.diff(column.offsets)
        return np.concatenate([[0], np.cumsum(costs if order is None else costs[order])])


def affordable(before: np.ndarray, taken: int, left: int) -> int:
    """The place up to which rows from `taken` on cost no more than what is left."""
    return int(np.searchsorted(before, before[taken] + left, "right")) - 1
