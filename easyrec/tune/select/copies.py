"""The features of `train` and `valid` in files, with shuffled copies of some, which are worth nothing: the null.

A copy has the values of its feature, each at another row of the same block of some 100,000 rows, and a table of its own:
it is learned as the feature is, and what it seems to be worth is what noise of its kind seems to be worth.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from easyrec.check import build
from easyrec.config import Experiment
from easyrec.config.experiment import experiment_of
from easyrec.data import PARTS, open_sources
from easyrec.data.feed import feed_of
from easyrec.durable import write_text
from easyrec.errors import ConfigError
from easyrec.tune.cache import raw_columns, write_features
from easyrec.tune.select.units import SEQUENCES, Units
from feature_generator import OutputSpec
from feature_generator.config import Document, override
from feature_generator.encoding import RAW
from feature_generator.whole_file import whole_file

FOLDER = "features"
SETTINGS = "settings.json"
EACH = 5
"""Copies of one feature at most."""


def write_parts(
    experiment: Experiment, folder: Path, copies: Mapping[str, str], data: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Write the features, where they are not there; the settings that let a config read them.

    Args:
        experiment: Whose features.
        folder: Of the selection.
        copies: Names of copies, each with its feature.
        data: Rows by part that stand in for the config's.

    Raises:
        DataError: A row cannot be used.
    """
    target = folder / FOLDER
    file = target / SETTINGS
    if file.is_file():
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return found
    shutil.rmtree(target, ignore_errors=True)  # of a process that was killed
    target.mkdir(parents=True)
    encoded = experiment.data.fg == "encoded"
    settings = (_pass_on if encoded else write_features)(experiment, target, data, raw_columns(experiment))
    for number, name in enumerate(PARTS):
        path = target / f"{name}.parquet"
        if path.exists():
            _add_copies(path, copies, np.random.default_rng([experiment.train.seed, number]))
    write_text(file, json.dumps(settings, indent=1) + "\n")
    return settings


def _pass_on(
    experiment: Experiment, target: Path, data: Mapping[str, Any] | None, reserve: Sequence[str]
) -> dict[str, Any]:
    """Write rows that hold features already, with no other columns than are read."""
    settings: dict[str, Any] = {}
    sources = open_sources(experiment, data)
    for name in PARTS if experiment.data.split is None else ("train",):
        part = getattr(sources, name)
        if part is None or name == "test":
            continue
        feed, path = feed_of(part.source), target / f"{name}.parquet"
        columns = list(dict.fromkeys([*experiment.generator.outputs, *reserve]))
        columns += [f"{column}{RAW}" for column in columns if f"{column}{RAW}" in feed.schema.names]
        columns = [column for column in columns if column in feed.schema.names]
        schema = pa.schema([feed.schema.field(column) for column in columns])
        with whole_file(path, False) as partial, pq.ParquetWriter(partial, schema) as writer:
            for block in feed.blocks(columns):
                writer.write_table(pa.Table.from_batches([block.batch]).select(columns).cast(schema))
        part.source.close()
        settings[f"data.{name}"] = {"type": "parquet", "path": str(path.absolute())}
    if experiment.data.split is None:
        settings["data.test"] = None
    return settings


def _add_copies(path: Path, copies: Mapping[str, str], random: np.random.Generator) -> None:
    """Add shuffled columns to a file of features, block by block.

    The file says no longer which features made it: configs of more, and of fewer, are to read it.
    """
    with pq.ParquetFile(path) as source:
        schema = source.schema_arrow.remove_metadata()
        for copy, name in copies.items():
            schema = schema.append(schema.field(name).with_name(copy))
        with whole_file(path, True) as partial, pq.ParquetWriter(partial, schema, compression="zstd") as writer:
            for number in range(source.num_row_groups):
                rows = source.read_row_group(number).replace_schema_metadata()
                for copy, name in copies.items():
                    order = pa.array(random.permutation(rows.num_rows))
                    rows = rows.append_column(schema.field(copy), rows.column(name).take(order))
                writer.write_table(rows)


# ------------------------------------------------------------------------------------------- the config


def choose(experiment: Experiment, units: Units, number: int) -> dict[str, str]:
    """The names of copies, each with its feature: features that are no sequences, spread over all of them."""
    outputs = experiment.generator.outputs
    able = [
        name
        for features in units.features.values()
        for name in features
        if outputs[name].kind not in SEQUENCES and outputs[name].dynamic is None
    ]
    number = min(number, EACH * len(able))
    rounds: list[str] = []
    while len(rounds) < number:
        left = min(number - len(rounds), len(able))
        rounds += [able[i * len(able) // left] for i in range(left)]
    return {f"shuffled_{i}_{name}": name for i, name in enumerate(rounds)}


def with_copies(
    document: Document, experiment: Experiment, copies: Mapping[str, str]
) -> tuple[Document, dict[str, str]]:
    """The config with the copies that it can take, and these: each in all groups that its feature is in."""
    taken: dict[str, str] = {}
    left = [list(copies)] if copies else []
    while left:
        part = left.pop()
        tried = {**taken, **{name: copies[name] for name in part}}
        try:
            build(experiment_of(_added(document, experiment.generator.outputs, tried)))
        except ConfigError:
            if len(part) > 1:
                half = (len(part) + 1) // 2
                left += [part[half:], part[:half]]
        else:
            taken = tried
    return _added(document, experiment.generator.outputs, taken), taken


def _added(document: Document, outputs: Mapping[str, OutputSpec], copies: Mapping[str, str]) -> Document:
    raw = dict(document.raw)
    raw["features"] = [*raw["features"], *(_feature(name, outputs[of]) for name, of in copies.items())]
    groups = raw.get("model", {}).get("groups")
    if isinstance(groups, Mapping):
        raw["model"] = {**raw["model"], "groups": {name: _group(group, copies) for name, group in groups.items()}}
    return override(Document(None, raw, {(): document.place(())}, document.file), ())


def _group(group: Any, copies: Mapping[str, str]) -> Any:
    if isinstance(group, Mapping):
        return {**group, "features": [*group.get("features", []), *_of(group.get("features", []), copies)]}
    return [*group, *_of(group, copies)]


def _of(features: Collection[str], copies: Mapping[str, str]) -> list[str]:
    return [copy for copy, name in copies.items() if name in features]


def _feature(name: str, spec: OutputSpec) -> dict[str, Any]:
    """A feature that reads a column of values as `spec` makes them."""
    found: dict[str, Any] = {"name": name, "expression": f"user:{name}"}
    if spec.embedding_dim is not None:
        found["embedding_dim"] = spec.embedding_dim
    if spec.kind == "dense":
        found |= {"type": "raw", "value_dim": spec.value_dim}
        return found if spec.dense_embedding is None else {**found, "dense_embedding": spec.dense_embedding}
    found |= {"type": "id", "num_buckets": spec.num_embeddings, "pooling": spec.pooling}
    return {**found, "weighted": True} if spec.weighted else found
