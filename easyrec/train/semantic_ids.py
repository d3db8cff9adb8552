"""Semantic ids of a catalogue: vectors of items in, a few codes per item out.

ids.parquet   the id column, and `codes`: the codes of each item, the last one tells items of equal codes apart
ids.json      how good they are, and the config that made them
ids.html      how often each code is used
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
from easyrec.errors import ConfigError, Problem
from easyrec.report.codes import code_page
from easyrec.retrieval.semantic_ids import QuantizerConfig, build
from easyrec.retrieval.semantic_ids._quality import quality, resolved
from easyrec.train.codes import CODES
from easyrec.train.given_items import chosen, read_vectors, written
from easyrec.train.predict import write_predictions
from feature_generator.config import plug

FAMILY = "easyrec.retrieval.semantic_ids"


def semantic_ids(
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
    """Make codes of a catalogue's vectors, and tell how good they are.

    Args:
        items: A folder that `embed` wrote; else a parquet file (or folder, or glob), a DataFrame or Arrow table.
        output: Parquet file to write; what is told of it lies beside it, as `.json` and `.html`.
        config: How codes are made: a YAML file or its content, such as `{"type": "rq_vae", "levels": 4}`; default: kmeans.
        overrides: Settings laid over it: `{"codes": 128}`, or texts as `-o` takes them.
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
    made: QuantizerConfig = chosen(FAMILY, config, overrides)
    target, told_in, shown_in = written(output, overwrite=overwrite)
    ids, vectors = read_vectors(items, id, vector)
    if len(vectors) < made.codes:
        text = f"a level has {made.codes} codes, but there are {len(vectors):,} items: take fewer, e.g. -o codes="
        raise ConfigError([Problem(f"{text}{max(len(vectors) // 8, 2)}", "codes")])
    found = build(made).quantize(vectors)
    told = quality(found, made.codes)
    codes = resolved(found.codes)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(codes.astype(np.int32).reshape(-1)), codes.shape[1])
    table = pa.table([ids.values, lists], names=[ids.name, CODES])
    write_predictions(iter([table]), target)
    about = {"config": made.model_dump(), **told}
    write_text(told_in, json.dumps(about, indent=1) + "\n")
    write_text(shown_in, code_page(target.name, about))
    return target
