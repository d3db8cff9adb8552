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
import pyarrow.compute as pc
from pydantic import ValidationError

from easyrec.data.feed import source_of
from easyrec.data.sources import Source
from easyrec.data.sources.frame import FrameSource
from easyrec.durable import write_text
from easyrec.errors import ConfigError, DataError, Problem, RunError, nearest
from easyrec.report.codes import code_page
from easyrec.retrieval.items import ITEMS, parts_of
from easyrec.retrieval.semantic_ids import QuantizerConfig, build
from easyrec.retrieval.semantic_ids._quality import quality, resolved
from easyrec.train.codes import CODES
from easyrec.train.predict import write_predictions
from feature_generator.config import Document, member, members, override, plug, problems_of, read_yaml

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
    chosen, target = quantizer(config, overrides), Path(output)
    if target.exists() and not overwrite:
        raise RunError(f"{target}: is there; overwrite it, or take another")
    ids, vectors = read_vectors(items, id, vector)
    if len(vectors) < chosen.codes:
        text = f"a level has {chosen.codes} codes, but there are {len(vectors):,} items: take fewer, e.g. -o codes="
        raise ConfigError([Problem(f"{text}{max(len(vectors) // 8, 2)}", "codes")])
    found = build(chosen).quantize(vectors)
    told = quality(found, chosen.codes)
    codes = resolved(found.codes)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(codes.astype(np.int32).reshape(-1)), codes.shape[1])
    table = pa.table([ids.values, lists], names=[ids.name, CODES])
    write_predictions(iter([table]), target)
    about = {"config": chosen.model_dump(), **told}
    write_text(target.with_suffix(".json"), json.dumps(about, indent=1) + "\n")
    write_text(target.with_suffix(".html"), code_page(target.name, about))
    return target


def quantizer(
    config: str | os.PathLike[str] | Mapping[str, Any] | None, overrides: Sequence[str] | Mapping[str, Any]
) -> QuantizerConfig:
    """How codes are made.

    Raises:
        ConfigError: There is no such type, or a key is wrong.
    """
    given = Document.of(config or {}) if config is None or isinstance(config, Mapping) else read_yaml(config)
    document = override(given, overrides)
    data = document.data if isinstance(document.data, dict) else {}
    kind = data.get("type", "kmeans")
    if kind not in members(FAMILY):
        text = f"unknown type '{kind}'{nearest(str(kind), members(FAMILY))}\nknown: {', '.join(members(FAMILY))}"
        raise ConfigError([document.problem(("type",), text)], document.file)
    try:
        made: QuantizerConfig = member(FAMILY, kind).Config.model_validate(document.data)
    except ValidationError as error:
        raise ConfigError(problems_of(error, document), document.file) from None
    return made


class Ids:
    """The ids of items.

    Attributes:
        name: Their column.
        values: (N,) the ids.
    """

    def __init__(self, name: str, values: pa.Array) -> None:
        self.name, self.values = name, values


def read_vectors(items: Any, id: str | None, vector: str) -> tuple[Ids, np.ndarray]:
    """The ids of items and their vectors, (N, D) float32.

    Raises:
        ConfigError, DataError: As for `semantic_ids`.
    """
    if isinstance(items, str | os.PathLike) and (Path(items) / ITEMS).exists():
        about = json.loads((Path(items) / ITEMS).read_text(encoding="utf-8"))
        if "items" not in about:
            raise RunError(f"{items}: not all items are there; the same `easyrec embed` goes on")
        id, items = id or about["id"], [str(path) for path in parts_of(Path(items))]
    name = id or "item_id"
    source = _source(items)
    absent = [column for column in (name, vector) if column not in source.columns]
    if absent:
        text = f"there is no column '{absent[0]}'{nearest(absent[0], source.columns)}\ncolumns: {', '.join(source.columns)}"
        raise ConfigError([Problem(text, "id" if absent[0] == name else "vector")])
    batches = [batch for unit in source.units() for batch in source.read(unit, [name, vector])]
    source.close()
    table = pa.Table.from_batches(batches).combine_chunks() if batches else pa.table({name: [], vector: []})
    if not table.num_rows:
        raise DataError("there are no items")
    ids, lists = (table.column(column).combine_chunks() for column in (name, vector))
    counts = pc.value_counts(ids)
    twice = counts.filter(pc.greater(pc.struct_field(counts, "counts"), 1))
    if len(twice):
        raise DataError(f"'{twice[0]['values']}' is there twice", column=name)
    return Ids(name, ids), _vectors(lists, vector)


def _vectors(lists: pa.Array, column: str) -> np.ndarray:
    kind = lists.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        raise DataError(f"must hold lists of numbers, but is {kind}", column=column)
    lengths = np.asarray(pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False), np.int64)
    wrong = np.flatnonzero((lengths != lengths[0]) | (lengths == 0))
    if len(wrong):
        row = int(wrong[0])
        text = f"a vector has {lengths[0]} numbers, but here are {lengths[row] or 'none'}"
        raise DataError(text, column=column, row=row)
    try:
        flat = lists.flatten().cast(pa.float32()).to_numpy(zero_copy_only=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(f"must hold numbers, but holds {kind.value_type}", column=column) from error
    vectors: np.ndarray = np.array(flat, np.float32).reshape(len(lists), -1)
    wrong = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(wrong):
        raise DataError("a vector holds a number that is none", column=column, row=int(wrong[0]))
    return vectors


def _source(items: Any) -> Source:
    if isinstance(items, str | os.PathLike | list):
        paths = items if isinstance(items, list) else os.fspath(items)
        opened: Source = source_of(paths, ()).open("fail")
        return opened
    return FrameSource(items, "items")
