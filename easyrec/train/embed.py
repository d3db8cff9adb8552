"""The vectors of a catalogue of any size, part by part: a stopped run goes on where it stopped.

What lies where: `easyrec.retrieval.items`.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from easyrec.batch import Batch
from easyrec.config import Experiment
from easyrec.data.catalogue import Unnamed, single, warn_of
from easyrec.data.content import content_of
from easyrec.data.intake import Demand, Intake, raw_columns
from easyrec.data.report import Report
from easyrec.data.rows import Rows
from easyrec.data.sides import Sides
from easyrec.data.sources import Source, Unit
from easyrec.durable import sync, write_text
from easyrec.errors import ConfigError, DataError, Problem, RunError, nearest
from easyrec.export.identity import model_digest
from easyrec.retrieval.indexes import Index, IndexConfig
from easyrec.retrieval.indexes import build as build_index
from easyrec.retrieval.indexes._attributes import unfit
from easyrec.retrieval.indexes._files import change, stored
from easyrec.retrieval.items import FORMAT, ITEMS, parts_of, vectors_of
from easyrec.train.scorer import Scorer

logger = logging.getLogger("easyrec.train")

LEARNED = 200_000
"""Vectors that an index learns from at most."""
PART_ROWS = 1 << 16
"""Items of a part: what a stopped run loses at most."""
CLEARED = "cleared"
"""In `items.json`: that what is there is being removed."""
LAST = b"easyrec.last"
"""In a part's metadata: whether its unit has no further ones."""


def embed_items(
    experiment: Experiment,
    scorer: Scorer,
    source: Source,
    output: Path,
    index: IndexConfig,
    *,
    attributes: Sequence[str] = (),
    overwrite: bool = False,
    bar: bool = False,
) -> Path:
    """Write the vectors of all items of a source, and an index over them.

    Args:
        experiment: What was trained.
        scorer: Its weights, averages in place where there are any.
        source: One row per item.
        output: Folder to write.
        index: What finds the nearest ones.
        attributes: Columns of the source that searches may filter by.
        overwrite: Replace what is there of other items or another model.
        bar: Whether to draw a progress bar.

    Raises:
        ConfigError: The source lacks a column.
        DataError: An item is bad.
        RunError: The folder holds something else, or the disk refuses.
    """
    sides = Sides(experiment)
    generator = sides.generator("items")
    columns = raw_columns(generator, source)
    column = id_column(sides, source)
    reserved = list(dict.fromkeys([column, *attributes]))
    _check(source, attributes)
    bad_rows = experiment.data.bad_rows
    demand = Demand(labels={}, reserved=reserved, bad_rows=bad_rows, missing=Unnamed(sides.key, column))
    try:
        intake = Intake(source, generator, demand)
    except ConfigError as error:
        raise ConfigError([Problem(problem.message, "items") for problem in error.problems]) from None
    identity: dict[str, Any] = {
        "format": FORMAT,
        "name": experiment.name,
        "model": digest_of(experiment, scorer),
        "source": content_of(source, list(dict.fromkeys([*columns, *reserved]))),
        "attributes": sorted(set(attributes)),
        "part_rows": PART_ROWS,
    }
    _prepare(output, identity, overwrite=overwrite)
    items = _whole(output, identity)
    if items is not None and _indexed(output, items, index):
        return output
    reports: list[Report] = []
    with tqdm(total=source.num_rows, unit="items", disable=not bar) as shown:
        for unit in source.units():
            for number, rows in _missing(source, unit, intake, output, shown, reports):
                table = _part(rows, scorer, sides, generator)
                _write(output / "parts" / _name(unit, number), table, last=rows.last)
    warn_of(reports, "items")
    total = _build(output, column, index, identity["attributes"])
    write_text(output / ITEMS, json.dumps({**identity, "id": column, "items": total}, indent=1) + "\n")
    return output


def id_column(sides: Sides, source: Source) -> str:
    """The raw column of the feature that tells items apart."""
    return raw_columns(sides.experiment.generator.only([sides.key]), source)[0]


class _Some:
    """Rows of a unit, and whether they are its last ones."""

    def __init__(self, rows: Rows | None, *, last: bool) -> None:
        self.rows, self.last = rows, last


def _missing(
    source: Source, unit: Unit, intake: Intake, output: Path, shown: Any, reports: list[Report]
) -> Iterator[tuple[int, _Some]]:
    """The parts of a unit that are not there yet, by number; `reports` gets what was wrong with their rows."""
    number = 0
    while (path := output / "parts" / _name(unit, number)).exists():
        found = pq.read_metadata(path)
        shown.update(found.num_rows)
        if (found.metadata or {})[LAST] == b"1":
            return
        number += 1
    kept: list[Rows] = []
    start, read = number * PART_ROWS, 0
    for batch in source.read(unit, intake.columns, start):
        taken = 0
        while taken < batch.num_rows:
            piece = batch.slice(taken, min(batch.num_rows - taken, PART_ROWS - read))
            rows, report = intake(piece, unit, start, 0)
            reports.append(report)
            kept += [] if rows is None else [rows]
            taken, start, read = taken + piece.num_rows, start + piece.num_rows, read + piece.num_rows
            shown.update(piece.num_rows)
            if read == PART_ROWS:
                yield number, _Some(Rows.concat(kept) if kept else None, last=False)
                number, read, kept = number + 1, 0, []
    yield number, _Some(Rows.concat(kept) if kept else None, last=True)


def _part(some: _Some, scorer: Scorer, sides: Sides, generator: Any) -> pa.Table:
    rows = some.rows
    if rows is None:
        return pa.table({})
    assert rows.reserved is not None
    vectors = scorer.vectors(Batch.of(rows.table, outputs=generator.outputs), "item", sides.item_groups).numpy()
    flat = pa.array(np.ascontiguousarray(vectors).reshape(-1), pa.float32())
    return pa.table(
        {
            **dict(zip(rows.reserved.schema.names, rows.reserved.columns, strict=True)),
            "key": pa.array(single(rows.table, sides.key)),
            "vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
        }
    )


def _write(path: Path, table: pa.Table, *, last: bool) -> None:
    """Write a part, all of it or nothing."""
    partial = path.with_name(f".{path.name}.writing")
    try:
        pq.write_table(table.replace_schema_metadata({LAST: b"1" if last else b"0"}), partial)
        sync(partial)
        partial.replace(path)
        sync(path.parent)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error


def _name(unit: Unit, number: int) -> str:
    return f"{unit.index:05d}-{number:05d}.parquet"


def _check(source: Source, attributes: Sequence[str]) -> None:
    """Refuse attributes that the source lacks, or that are called like what stands beside them."""
    problems = []
    for name in attributes:
        if name not in source.columns:
            problems.append(Problem(f"the items have no column '{name}'{nearest(name, source.columns)}", "attributes"))
        elif (text := unfit(name, source.columns[name])) is not None:
            problems.append(Problem(text, "attributes"))
        elif name in ("key", "vector"):
            problems.append(Problem(f"an attribute cannot be called '{name}': rename the column", "attributes"))
    if problems:
        raise ConfigError(problems)


def _build(output: Path, column: str, config: IndexConfig, attributes: Sequence[str]) -> int:
    """Build the index over all parts; gives the number of items."""
    paths = parts_of(output)
    if not paths:
        raise RunError(f"{output}: there are no items")
    _refuse_doubles(output, column, paths)
    built = built_of(output, config, attributes)
    built.save(output / "index")
    return len(built)


def built_of(folder: Path, config: IndexConfig, attributes: Sequence[str]) -> Index:
    """An index over the items of a folder, by number.

    Args:
        folder: Where parts are.
        config: Of the index.
        attributes: Columns of the parts that searches may filter by.

    Raises:
        ConfigError: The items are too few for what the index learns.
        DataError: An attribute is of one type here and of another there.
    """
    paths = parts_of(folder)
    shown = _sample(paths)
    built = build_index(config, shown.shape[1])
    if not built.inside.is_trained:
        built.train(shown)
    for path in paths:
        table, total = pq.read_table(path, columns=[*attributes, "vector"]), len(built)
        try:
            built.add(np.arange(total, total + len(table)), vectors_of(table), table.select(attributes))
        except ValueError as error:
            raise DataError(f"{path}: {error}") from error
    return built


def _refuse_doubles(output: Path, column: str, paths: list[Path]) -> None:
    ids = pa.concat_tables([pq.read_table(path, columns=[column]) for path in paths]).column(column)
    counts = pc.value_counts(ids)
    twice = counts.filter(pc.greater(pc.struct_field(counts, "counts"), 1))
    if len(twice):
        raise DataError(f"'{twice[0]['values']}' is there twice, in the items of {output}", column=column)


def _sample(paths: list[Path]) -> np.ndarray:
    """Vectors of all parts, for an index to learn from."""
    share = max(LEARNED // len(paths), 1)
    found = []
    for path in paths:
        vectors = vectors_of(pq.read_table(path, columns=["vector"]))
        found.append(vectors[:: max(len(vectors) // share, 1)][:share])
    return np.concatenate(found)


def digest_of(experiment: Experiment, scorer: Scorer) -> str:
    """Digest of the model that makes vectors. Averages must be in place where there are any."""
    return model_digest(experiment, scorer.model, scorer.collection.served)


def _prepare(output: Path, identity: dict[str, Any], *, overwrite: bool) -> None:
    """Make the folder ready: what is there must be of the same items and the same model."""
    known = output / ITEMS
    if known.exists():
        found = json.loads(known.read_text(encoding="utf-8"))
        same = {key: found.get(key) for key in identity} == identity
        begun = any((output / "parts").glob("[0-9]*.parquet"))
        if not same and begun and not overwrite and CLEARED not in found:
            raise RunError(f"{output}: holds vectors {_unlike(found, identity)}; overwrite it, or take another")
        if not same or CLEARED in found:
            write_text(known, json.dumps({CLEARED: True}) + "\n")  # killed meanwhile, the next one goes on clearing
            for name in ("parts", "index", "tuning"):
                shutil.rmtree(output / name, ignore_errors=True)
    elif output.exists() and any(path.name[:1] != "." for path in output.iterdir()):
        raise RunError(f"{output}: is not empty, and holds no vectors of items")
    try:
        output.mkdir(parents=True, exist_ok=True)
        if not _whole(output, identity):
            write_text(known, json.dumps(identity, indent=1) + "\n")
        (output / "parts").mkdir(exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot write {os.fspath(output)}: {error.strerror or error}") from error


def _unlike(found: Mapping[str, Any], identity: Mapping[str, Any]) -> str:
    """How vectors that are there differ from those that are wanted; of several ways the first."""
    told = {
        "format": "of another version of the library",
        "model": "by another model or checkpoint",
        "attributes": f"with other attributes ({', '.join(found.get('attributes') or []) or 'none'})",
        "source": "of other items",  # of rows in memory the digest is of the attributes too
        "name": f"of another experiment ('{found.get('name')}')",
        "part_rows": "of another version of the library",
    }
    return next(text for key, text in told.items() if found.get(key) != identity[key])


def _whole(output: Path, identity: Mapping[str, Any]) -> int | None:
    """How many items there are, where all of these are there."""
    try:
        found = json.loads((output / ITEMS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found.get("items") if {key: found.get(key) for key in identity} == identity else None


def _indexed(output: Path, items: int, config: IndexConfig) -> bool:
    """Whether an index of this config is there; settings of searches alone are laid over it."""
    known = stored(output / "index")
    if known is None or known["vectors"] != items:
        return False
    mine, theirs = config.model_dump(), dict(known["config"])
    if config.effort is not None and config.effort in theirs:
        theirs[config.effort] = mine[config.effort]
    if theirs == mine and theirs != known["config"]:
        change(output / "index", mine)
    return theirs == mine
