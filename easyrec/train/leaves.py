"""The tree of a catalogue, read: which nodes lie above each item."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from easyrec.config import Experiment
from easyrec.data.catalogue import Catalogue
from easyrec.errors import ConfigError, DataError, Problem
from easyrec.train.item_file import read_items, rows_of_items, shown

LEAF = "leaf"
"""Column of a file of a tree."""
BRANCHING = "easyrec.branching"
"""What the file tells of its tree."""
REMEDY = "make a tree of all items: easyrec tree"


def paths_of(experiment: Experiment, catalogue: Catalogue) -> np.ndarray:
    """(N, L) int64, the nodes above a catalogue's items, numbered in each level, and behind them the leaves.

    Raises:
        ConfigError: There is no file of the tree, or it is of another form than the config says.
        DataError: A leaf holds no item or two, an item has no leaf or two, or the tree is of other items.
    """
    wanted: Any = experiment.model.tree  # type: ignore[attr-defined]  # of models that search one
    file = read_items(experiment, wanted.path, "model.tree.path", REMEDY)
    if LEAF not in file.column_names[1:] or not pa.types.is_integer(file.schema.field(LEAF).type):
        text = (
            f"{wanted.path} is no tree: it has the columns {', '.join(file.column_names)}, but is to have the ids of "
        )
        raise experiment.placed(ConfigError([Problem(f"{text}items and then their '{LEAF}'", "model.tree.path")]))
    told = (file.schema.metadata or {}).get(BRANCHING.encode())
    problems = []
    if told is not None and int(told) != wanted.branching:
        text = f"is {wanted.branching}, but the tree in {wanted.path} was made with {int(told)}"
        problems.append(Problem(f"{text}: set it to {int(told)}", "model.tree.branching"))
    if file.num_rows != wanted.items:
        text = f"is {wanted.items}, but the tree in {wanted.path} has {file.num_rows} items: set it to {file.num_rows}"
        problems.append(Problem(text, "model.tree.items"))
    if problems:
        raise experiment.placed(ConfigError(problems))
    leaves = _leaves(file, str(wanted.path))
    rows = rows_of_items(catalogue, file, str(wanted.path), "no leaf", REMEDY)
    if len(rows) < file.num_rows:
        others = np.setdiff1d(np.arange(file.num_rows), rows)
        text = f"{len(others):,} of {file.num_rows:,} leaves of {wanted.path} hold items that are not here, such as "
        text += f"{shown(file.column(0), others)}: it is the tree of another catalogue\n{REMEDY}"
        raise DataError(text, column=catalogue.key, file="data.items")
    paths: np.ndarray = wanted.shape.paths(leaves[rows])
    return paths


def _leaves(file: pa.Table, path: str) -> np.ndarray:
    """(N,) int64, the leaf of each row: every one from 0 to N - 1 once."""
    column = file.column(LEAF).combine_chunks()
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise DataError(f"the item '{file.column(0)[row]}' has no leaf", column=LEAF, file=path, row=row)
    leaves: np.ndarray = column.to_numpy(zero_copy_only=False).astype(np.int64)
    wrong = np.flatnonzero((leaves < 0) | (leaves >= len(leaves)))
    if len(wrong):
        row = int(wrong[0])
        text = f"there are leaves from 0 to {len(leaves) - 1}, one for each item, but here is {leaves[row]}"
        raise DataError(text, column=LEAF, file=path, row=row)
    counts = np.bincount(leaves, minlength=len(leaves))
    if (counts > 1).any():
        twice = np.flatnonzero(leaves == int(np.argmax(counts > 1)))
        text = f"the leaf {leaves[twice[0]]} holds the items {shown(file.column(0), twice, ' and ')}"
        raise DataError(text, column=LEAF, file=path)
    return leaves
