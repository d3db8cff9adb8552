"""A tree over a catalogue: items with vectors or categories in, a leaf per item out.

tree.parquet  the id column, and `leaf`: which one holds each item, from 0 in their order
tree.json     how good the tree is, and the config that made it
tree.html     the same as a page
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from easyrec.durable import write_text
from easyrec.errors import ConfigError, DataError, Problem
from easyrec.report.tree import tree_page
from easyrec.retrieval.items import ITEMS
from easyrec.retrieval.tree import TreeShape
from easyrec.retrieval.trees import TreeConfig, build
from easyrec.train.given_items import Ids, chosen, read_columns, read_vectors, written
from easyrec.train.leaves import BRANCHING, LEAF
from easyrec.train.predict import write_predictions
from feature_generator.config import plug

FAMILY = "easyrec.retrieval.trees"


def tree(
    items: Any,
    output: str | os.PathLike[str],
    *,
    config: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    plugins: Sequence[str | os.PathLike[str]] = (),
    id: str | None = None,
    vector: str = "vector",
    overwrite: bool = False,
) -> Path:
    """Make a tree over the items of a catalogue, and tell how good it is.

    Args:
        items: A folder that `embed` wrote; else a parquet file (or folder, or glob), a DataFrame or Arrow table.
        output: Parquet file to write; what is told of it lies beside it, as `.json` and `.html`.
        config: How it is made: a YAML file or its content, such as `{"type": "categories", "by": ["cate"]}`; default:
            kmeans.
        overrides: Settings laid over it: `{"branching": 8}`, or texts as `-o` takes them.
        plugins: Files and packages with more types, see `feature_generator.config.plug`.
        id: Column of the items' ids; default: that of the folder, else `item_id`.
        vector: Column of their vectors.
        overwrite: Replace a file that is there.

    Returns:
        `output`.

    Raises:
        ConfigError: The config cannot work, or a column is missing.
        DataError: An item has no vector, another width than the others, or is there twice.
        RunError: The file is there, or the disk refuses.
    """
    for plugin in plugins:
        plug(plugin)
    made: TreeConfig = chosen(FAMILY, config, overrides)
    target, told_in, shown_in = written(output, overwrite=overwrite)
    ids, vectors, columns = _read(made, items, id, vector)
    shape = TreeShape(len(ids.values), made.branching)
    builder = build(made)
    order = builder.order(shape, vectors, columns)
    leaves = np.empty(shape.leaves, np.int64)
    leaves[order] = np.arange(shape.leaves)
    schema = pa.schema([(ids.name, ids.values.type), (LEAF, pa.int64())], {BRANCHING: str(made.branching)})
    write_predictions(iter([pa.table([ids.values, leaves], schema=schema)]), target)
    name, told = builder.quality(shape, order, vectors, columns)
    levels = []
    for level, value in enumerate(told):
        sizes = np.diff(shape.bounds(level))
        levels.append({"nodes": len(sizes), "least": int(sizes.min()), "most": int(sizes.max()), name: value})
    about = {"config": made.model_dump(), "items": shape.leaves, "nodes": shape.starts[-1], "levels": levels}
    write_text(told_in, json.dumps(about, indent=1) + "\n")
    write_text(shown_in, tree_page(target.name, about, name))
    return target


def _read(
    made: TreeConfig, items: Any, id: str | None, vector: str
) -> tuple[Ids, np.ndarray | None, dict[str, pa.Array]]:
    """The ids of the items, and what the tree is made of."""
    if made.compares_vectors:
        return *read_vectors(items, id, vector), {}
    if isinstance(items, str | os.PathLike) and (Path(items) / ITEMS).exists():
        text = f"'{made.type}' reads columns of the items, and {items} holds vectors: name the catalogue itself"
        raise ConfigError([Problem(text, "items")])
    ids, columns = read_columns(items, id, {"by": made.columns})
    for name in made.columns:
        if pa.types.is_nested(columns[name].type):
            text = (
                f"a category is one value, but this column holds {columns[name].type}: take one with the first of them"
            )
            raise DataError(text, column=name)
    return ids, None, columns
