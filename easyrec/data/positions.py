"""What a batch's users are compared with items at: a row's own item, or steps of its sequence."""

from __future__ import annotations

import numpy as np

from easyrec.config.steps import LearnedSteps
from easyrec.data.catalogue import Catalogue, single
from easyrec.errors import DataError
from feature_generator.columns import Column, Ragged, Table


class Positions:
    """The positions of rows, and the items that they are about.

    Args:
        catalogue: The items.
        sequence: Child of a sequence whose steps are learned; None: a row's own item is, that of the catalogue's key.
        learned: Which of its steps.
    """

    def __init__(self, catalogue: Catalogue, sequence: str | None = None, learned: LearnedSteps | None = None) -> None:
        self.catalogue, self.sequence, self.learned = catalogue, sequence, learned or LearnedSteps()

    def possible(self, table: Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What may be positions of some rows: (n,) int64 ids, (n,) their rows, ascending, and (n,) how likely they are.

        Raises:
            DataError: A row, or a step, has not one id.
        """
        if self.sequence is None:
            keys = single(table, self.catalogue.key)
            return keys, np.arange(len(keys)), np.ones(len(keys))
        keys, offsets = steps(table, self.sequence)
        chances = expected(self.learned, offsets)
        places = np.flatnonzero(chances)
        return keys[places], np.searchsorted(offsets, places, side="right") - 1, chances[places]

    def expected(self, table: Table) -> tuple[np.ndarray, np.ndarray]:
        """(n,) int64, items of some rows, and (n,) how often they are positions each time that the rows are met.

        Raises:
            DataError: A row, or a step, has not one id.
        """
        keys, _, chances = self.possible(table)
        return self.catalogue.find(keys), chances

    def drawn(self, table: Table, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """The positions of some rows: (P,) int64 their items, (P,) their rows, ascending, and (P,) which steps they are.

        Raises:
            DataError: A row, or a step, has not one id.
        """
        if self.sequence is None:
            keys, rows, _ = self.possible(table)
            return self.catalogue.find(keys), rows, None
        keys, offsets = steps(table, self.sequence)
        places = draw(self.learned, offsets, random)
        return self.catalogue.find(keys[places]), np.searchsorted(offsets, places, side="right") - 1, places


def steps(table: Table, child: str) -> tuple[np.ndarray, np.ndarray]:
    """The ids of a sequence's steps, and the offsets of its rows.

    Raises:
        DataError: A step has not one id.
    """
    column = table[child]
    assert isinstance(column, Ragged)
    assert not isinstance(column, Column)
    if column.key_offsets is not None and (np.diff(column.key_offsets) != 1).any():
        raise DataError("a step of the sequence has not one id", column=child)
    offsets = np.arange(len(column.values) + 1) if column.offsets is None else column.offsets
    return column.values, offsets


def draw(learned: LearnedSteps, offsets: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """(P,) int64, ascending: which steps of sequences with these offsets are positions."""
    first, counts = _choices(learned, offsets)
    choices = np.flatnonzero(first)
    if learned.most is None and learned.share is None:
        return choices
    rows = np.searchsorted(offsets, choices, side="right") - 1
    # The `counts` least of a row's random numbers; where the newest step alone is taken, it has the least.
    chance = random.random(len(choices))
    if learned.last:
        alone = random.random(len(counts)) < learned.last
        counts = np.where(alone, np.minimum(counts, 1), counts)
        chance[alone[rows] & (choices == offsets[rows + 1] - 1)] = -1.0
    order = np.lexsort((chance, rows))
    starts = np.searchsorted(rows, np.arange(len(counts)))
    kept = np.arange(len(order)) - starts[rows] < counts[rows]
    found: np.ndarray = np.sort(choices[order[kept]])
    return found


def expected(learned: LearnedSteps, offsets: np.ndarray) -> np.ndarray:
    """(N,) float64, the probability of each step to be a position."""
    choices, counts = _choices(learned, offsets)
    lengths = np.diff(offsets)
    of_row = np.add.reduceat(np.append(choices, False), offsets[:-1]) * (lengths > 0)
    chances: np.ndarray = np.repeat(counts / np.maximum(of_row, 1), lengths) * choices
    if learned.last:
        newest = np.zeros(len(chances))
        newest[offsets[1:][counts > 0] - 1] = 1.0
        chances = (1.0 - learned.last) * chances + learned.last * newest
    return chances


def _choices(learned: LearnedSteps, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) bool, steps that may be positions, and (B,) how many of each row are."""
    lengths = np.diff(offsets)
    choices = np.repeat(lengths > 1, lengths)
    if learned.share is not None:
        counts = np.maximum(np.rint(learned.share * lengths), 1).astype(np.int64) * (lengths > 1)
        return choices, counts
    choices[offsets[:-1][lengths > 0]] = False
    counts = np.maximum(lengths - 1, 0)
    return choices, counts if learned.most is None else np.minimum(counts, learned.most)
