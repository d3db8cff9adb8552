"""What models that search for items know these by: the codes of a catalogue's items, or their paths in a tree."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from easyrec.config import Experiment
from easyrec.data.catalogue import Catalogue, single
from easyrec.embedding.collection import EmbeddingCollection
from easyrec.errors import ConfigError, DataError, Problem
from easyrec.retrieval.trie import Trie
from easyrec.train.item_file import read_items, rows_of_items, shown
from easyrec.train.leaves import paths_of

logger = logging.getLogger("easyrec.train")

CODES = "codes"
"""Column of a file of semantic ids."""
OTHERS = {
    "codes": ("codes", "its embeddings of codes belong to those", "model.semantic_ids.path"),
    "tree": ("paths in the tree", "its vectors of nodes belong to those", "model.tree.path"),
}
"""How a checkpoint of other codes is told of: what they are, why they matter, and where they come from."""
REMEDY = "make them of the vectors of all items: easyrec semantic-ids"


def write_codes(collection: EmbeddingCollection, experiment: Experiment, catalogue: Catalogue) -> None:
    """Put the codes of all items into their table; ids that no item has get -1.

    Raises:
        ConfigError: There is no file of them, or its codes are others than the model's.
        DataError: An item has none, or two have the same.
    """
    table = collection.weights[_table(experiment, collection)]
    codes = codes_of(experiment, catalogue)
    table[:] = -1
    table[single(catalogue.table, catalogue.key)] = codes


def same_codes(collection: EmbeddingCollection, experiment: Experiment) -> dict[str, Callable[[np.ndarray], None]]:
    """What refuses a checkpoint to begin from whose codes are others than those written here, by their table.

    A tree is the same or another one. Items that only one of both knows have codes all the same, and do no harm.
    """
    name, searches = _table(experiment, collection), experiment.model.searches
    assert searches is not None
    here, (what, why, where) = collection.weights[name], OTHERS[searches]

    def suits(there: np.ndarray) -> None:
        if there.shape[1] != here.shape[1]:
            told = f"knows items by {there.shape[1]} {what}, and this model by {here.shape[1]}"
        else:
            rows = max(len(there), len(here))
            old, new = (_padded(table, rows) for table in (there, here))
            known = np.stack([(old >= 0).all(axis=1), (new >= 0).all(axis=1)])
            compared = known.any(axis=0) if searches == "tree" else known.all(axis=0)
            others, of = int((old != new).any(axis=1)[compared].sum()), int(compared.sum())
            if of and not others:
                return
            told = f"knows {others:,} of {of:,} items by other {what}" if of else f"has {what} of none of these items"
        remedy = f"name in {where} the file that it was trained with, or leave init_from out and train from the start"
        assert experiment.train.init_from is not None
        text = f"{experiment.train.init_from.path} {told}, and {why}\n{remedy}"
        raise experiment.placed(ConfigError([Problem(text, "train.init_from")]))

    return {name: suits}


def trie_of(collection: EmbeddingCollection, experiment: Experiment, catalogue: Catalogue) -> Trie:
    """The items of a catalogue that have codes, by number.

    Raises:
        DataError: None has, or two have the same.
    """
    codes = known_codes(collection, experiment, catalogue)
    known = np.flatnonzero((codes >= 0).all(axis=1))
    if len(known) < len(codes):
        what = "leaf" if experiment.model.searches == "tree" else "codes"
        text = "%s of %s items have no %s, so they are not found: the model was trained without them"
        logger.warning(text, f"{len(codes) - len(known):,}", f"{len(codes):,}", what)
    try:
        return Trie(codes[known], known)
    except ValueError as error:
        raise DataError(str(error), column=catalogue.key, file="data.items") from None


def known_codes(collection: EmbeddingCollection, experiment: Experiment, catalogue: Catalogue) -> np.ndarray:
    """(N, L) int64, the codes that a model knows a catalogue's items by, -1 where it knows none."""
    keys, table = single(catalogue.table, catalogue.key), collection.weights[_table(experiment, collection)]
    codes: np.ndarray = table[keys].astype(np.int64)
    return codes


def codes_of(experiment: Experiment, catalogue: Catalogue) -> np.ndarray:
    """(N, L) int64, the codes of a catalogue's items: those of a file, or their paths in a tree.

    Raises:
        ConfigError, DataError: As for `write_codes`.
    """
    if experiment.model.searches == "tree":
        return paths_of(experiment, catalogue)
    wanted: Any = experiment.model.semantic_ids  # type: ignore[attr-defined]  # of models that write codes
    file = read_codes(experiment, wanted.path)
    rows, lists = rows_of_items(catalogue, file, wanted.path, "no codes", REMEDY), file.column(CODES).combine_chunks()
    flat = lists.take(pa.array(rows)).flatten().to_numpy(zero_copy_only=False).astype(np.int64)
    sizes = pc.list_value_length(lists).unique().to_pylist()
    problems = []
    if sizes != [wanted.levels]:
        text = f"is {wanted.levels}, but items have {' or '.join(map(str, sizes))} codes in {wanted.path}"
        problems.append(Problem(text, "model.semantic_ids.levels"))
    elif flat.min() < 0:
        raise DataError(f"{flat.min()} is no code", column=CODES, file=str(wanted.path))
    elif flat.max() >= wanted.codes:
        text = f"is {wanted.codes}, but the codes in {wanted.path} go up to {flat.max()}: set it to {flat.max() + 1}"
        problems.append(Problem(text, "model.semantic_ids.codes"))
    if problems:
        raise experiment.placed(ConfigError(problems))
    codes: np.ndarray = flat.reshape(len(catalogue), -1)
    try:
        Trie(codes)
    except ValueError:
        _, first, counts = np.unique(codes, axis=0, return_index=True, return_counts=True)
        row = int(first[counts > 1][0])
        same = np.flatnonzero((codes == codes[row]).all(axis=1))[:2]
        text = f"the items {shown(catalogue.ids, same, ' and ')} have the same codes: {codes[row].tolist()}"
        raise DataError(text, column=CODES, file=str(wanted.path)) from None
    return codes


def read_codes(experiment: Experiment, path: str) -> pa.Table:
    """A file of semantic ids: the column of ids, and their codes.

    Raises:
        ConfigError: It is not there, or is another file.
    """
    found = read_items(experiment, path, "model.semantic_ids.path", REMEDY)
    kinds = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    if CODES not in found.column_names[1:] or not any(kind(found.schema.field(CODES).type) for kind in kinds):
        text = f"{path} is no file of semantic ids: it has the columns {', '.join(found.column_names)}, but is to have "
        text += f"the ids of items and then their lists of '{CODES}'"
        raise experiment.placed(ConfigError([Problem(text, "model.semantic_ids.path")]))
    return found


def _padded(table: np.ndarray, rows: int) -> np.ndarray:
    """(rows, L), the codes of a table, and none for ids behind its last."""
    padded = np.full((rows, table.shape[1]), -1, np.int64)
    padded[: len(table)] = table
    return padded


def _table(experiment: Experiment, collection: EmbeddingCollection) -> str:
    (group,) = experiment.model.item_groups
    table = collection.plan.groups[group].fields[0].table
    assert table is not None
    return table
