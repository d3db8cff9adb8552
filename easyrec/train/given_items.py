"""What a command is given to make something of a catalogue: its items with their vectors or columns, and how."""

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
from easyrec.errors import ConfigError, DataError, Problem, RunError, nearest
from easyrec.retrieval.items import ITEMS, parts_of
from feature_generator.config import Document, member, members, override, problems_of, read_yaml


def written(output: str | os.PathLike[str], *, overwrite: bool) -> tuple[Path, Path, Path]:
    """The parquet file that a command writes, and beside it the JSON and the HTML of its quality.

    Args:
        output: The parquet file.
        overwrite: Whether files that are there may go.

    Raises:
        RunError: One is there, or the parquet file is called like one of the others.
    """
    target = Path(output)
    if target.suffix in (".json", ".html"):
        text = f"{target}: a parquet file is written, and beside it one of this name says how good it is"
        raise RunError(f"{text}\ncall it {target.with_suffix('.parquet').name}")
    files = target, target.with_suffix(".json"), target.with_suffix(".html")
    there = [str(file) for file in files if file.exists()]
    if there and not overwrite:
        raise RunError(f"{there[0]}: is there; overwrite it, or take another")
    return files


def chosen(
    family: str,
    config: str | os.PathLike[str] | Mapping[str, Any] | None,
    overrides: Sequence[str] | Mapping[str, Any],
    default: str = "kmeans",
) -> Any:
    """The config of a member of a family.

    Args:
        family: The family.
        config: A YAML file or its content, with the member's `type`.
        overrides: Settings laid over it.
        default: The type where none is named.

    Raises:
        ConfigError: There is no such type, or a key is wrong.
    """
    given = Document.of(config or {}) if config is None or isinstance(config, Mapping) else read_yaml(config)
    document = override(given, overrides)
    data = document.data if isinstance(document.data, dict) else {}
    kind = data.get("type", default)
    if kind not in members(family):
        text = f"unknown type '{kind}'{nearest(str(kind), members(family))}\nknown: {', '.join(members(family))}"
        raise ConfigError([document.problem(("type",), text)], document.file)
    try:
        return member(family, kind).Config.model_validate(document.data)
    except ValidationError as error:
        raise ConfigError(problems_of(error, document), document.file) from None


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
        ConfigError, DataError: A column is missing, an item has no vector or is there twice.
    """
    if isinstance(items, str | os.PathLike) and (Path(items) / ITEMS).exists():
        about = json.loads((Path(items) / ITEMS).read_text(encoding="utf-8"))
        if "items" not in about:
            raise RunError(f"{items}: not all items are there; the same `easyrec embed` goes on")
        id, items = id or about["id"], [str(path) for path in parts_of(Path(items))]
    ids, columns = read_columns(items, id, {"vector": [vector]})
    return ids, _vectors(columns[vector], vector)


def read_columns(items: Any, id: str | None, columns: Mapping[str, Sequence[str]]) -> tuple[Ids, dict[str, pa.Array]]:
    """The ids of items and some of their columns.

    Args:
        items: As commands take them.
        id: Column of the ids; default: `item_id`.
        columns: The columns, by the key that names them.

    Raises:
        ConfigError: A column is missing.
        DataError: There is no item, or one is there twice.
    """
    name, source = id or "item_id", _source(items)
    for key, wanted in {"id": [name], **columns}.items():
        for column in wanted:
            if column not in source.columns:
                text = f"there is no column '{column}'{nearest(column, source.columns)}"
                raise ConfigError([Problem(f"{text}\ncolumns: {', '.join(source.columns)}", key)])
    every = list(dict.fromkeys([name, *(column for wanted in columns.values() for column in wanted)]))
    batches = [batch for unit in source.units() for batch in source.read(unit, every)]
    source.close()
    if not sum(batch.num_rows for batch in batches):
        raise DataError("there are no items")
    table = pa.Table.from_batches(batches).combine_chunks()
    found = {column: table.column(column).combine_chunks() for column in every}
    counts = pc.value_counts(found[name])
    twice = counts.filter(pc.greater(pc.struct_field(counts, "counts"), 1))
    if len(twice):
        raise DataError(f"'{twice[0]['values']}' is there twice", column=name)
    return Ids(name, found[name]), found


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
