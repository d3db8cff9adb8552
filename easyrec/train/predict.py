"""Predictions of many rows: parquet or csv in, parquet out."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from easyrec.config import Experiment
from easyrec.data import Loader, Part, Report, Source, make_loader
from easyrec.data.beside import raw_name
from easyrec.errors import RunError
from easyrec.train.scorer import Scorer

logger = logging.getLogger("easyrec.train")


def rows_to_score(experiment: Experiment, part: Part | Source) -> Loader:
    """The batches of all rows, in their order.

    Raises:
        ConfigError: The data lacks a column.
    """
    return make_loader(experiment, part, training=False, labels=False, reserved=experiment.data.reserved)


def warn(report: Report) -> None:
    """Log what was wrong with the rows that were read."""
    if report.num_bad:
        logger.warning("%s", report.summary())


def predictions(
    experiment: Experiment, scorer: Scorer, part: Part | Source, told: Callable[[Report], None] = warn
) -> Iterator[pa.Table]:
    """Batch by batch: `data.reserved` columns, and one column per task.

    A column is float32, or a list of float32 where the task has several classes. Rows that `data.bad_rows: skip`
    drops are missing; all others come in the order of the source.

    Args:
        experiment: What was trained.
        scorer: Its weights.
        part: The rows.
        told: Gets the report of all rows behind the last one.

    Raises:
        ConfigError: The data lacks a column.
        DataError: A row cannot be used.
    """
    tasks = [task.name for task in experiment.tasks]
    reserved = experiment.data.reserved
    loader = rows_to_score(experiment, part)
    types = (part.source if isinstance(part, Part) else part).columns
    fields = [pa.field(name, types[raw_name(name, types, experiment.data.fg)]) for name in reserved]
    fields += [pa.field(t.name, pa.list_(pa.float32()) if t.num_classes else pa.float32()) for t in experiment.tasks]
    schema = pa.schema(fields)
    empty = True
    with scorer.averaged():
        for batch in loader:
            scores = scorer.predict(batch)
            columns = [batch.reserved[name] for name in reserved] if batch.reserved is not None else []
            columns += [_array(scores[name]) for name in tasks]
            yield pa.table(columns, names=schema.names).cast(schema)
            empty = False
    told(loader.report)
    if empty:
        yield schema.empty_table()


def write_predictions(tables: Iterator[pa.Table], output: str | os.PathLike[str]) -> int:
    """Write the tables as one file, all of it or nothing: csv where it is called so, else parquet.

    Returns:
        Number of rows.

    Raises:
        RunError: The disk refuses, or csv cannot hold a column; a former file stays.
    """
    path = Path(output)
    partial = path.with_name(f".{path.name}.writing")
    rows = 0
    writer: pq.ParquetWriter | csv.CSVWriter | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for table in tables:
            writer = writer or _writer(path, partial, table.schema)
            writer.write_table(table)
            rows += table.num_rows
        if writer is not None:
            writer.close()
            partial.replace(path)
            writer = None
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if writer is not None:
            _abandon(writer)
        if partial.exists():
            partial.unlink()
    return rows


def _writer(path: Path, partial: Path, schema: pa.Schema) -> pq.ParquetWriter | csv.CSVWriter:
    if path.suffix.lower() != ".csv":
        return pq.ParquetWriter(partial, schema)
    listed = [field.name for field in schema if pa.types.is_nested(field.type)]
    if listed:
        raise RunError(f"cannot write {path}: csv holds no lists, such as those of {', '.join(listed)}: take parquet")
    return csv.CSVWriter(partial, schema)


def _abandon(writer: pq.ParquetWriter | csv.CSVWriter) -> None:
    """Close a writer whose file will be removed; that its end cannot be written matters to nobody."""
    try:
        writer.close()
    except OSError:
        return


def _array(scores: np.ndarray) -> pa.Array:
    if scores.ndim == 1:
        return pa.array(scores, pa.float32())
    rows, width = scores.shape
    offsets = np.arange(0, (rows + 1) * width, width, dtype=np.int32)
    return pa.ListArray.from_arrays(offsets, pa.array(scores.reshape(-1), pa.float32()))
