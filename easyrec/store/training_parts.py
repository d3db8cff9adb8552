"""Training sets in parts: a file for each day of the spine, in folders such as `ds=20260101`.

A part is there whole or not at all, and one that has as many rows as the spine has of its time is not made again, so that
a run that was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from easyrec.errors import StoreError
from easyrec.store.definitions import LabelTable, StoreConfig
from easyrec.store.duck import answered
from easyrec.store.point_in_time import Encoding, Joiner, Progress, Spine, features_of
from feature_generator.whole_file import whole_file

Unit: TypeAlias = Literal["hour", "day", "month"]
FORMATS: Mapping[Unit, str] = {"hour": "%Y%m%d%H", "day": "%Y%m%d", "month": "%Y%m"}
WORK, FILE, DONE = "_work.json", "0.parquet", "_SUCCESS"
START = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Part:
    """A part that is there.

    Attributes:
        name: Of its folder.
        rows: As many as the spine has of its time.
        kept: Whether a former run made it.
        seconds: What it took.
    """

    name: str
    rows: int
    kept: bool
    seconds: float


@dataclass(frozen=True)
class TrainingParts:
    """What is there in the end.

    Attributes:
        parts: In the order of time.
        columns: Of the spine, then the features.
        seconds: What all took.
        found: For how many rows each view had one, of the parts that were made now.
    """

    parts: list[Part]
    columns: list[str]
    seconds: float
    found: Mapping[str, int]

    @property
    def rows(self) -> int:
        """Rows of all parts."""
        return sum(part.rows for part in self.parts)


def training_parts(
    config: StoreConfig,
    model: str,
    spine: Spine,
    output: str | Path,
    *,
    unit: Unit = "day",
    column: str = "ds",
    event_time: str | None = None,
    encoding: Encoding | None = None,
    threads: int | None = None,
    memory: str | None = None,
    progress: Progress | None = None,
) -> TrainingParts:
    """Join the features of a model to a spine as `training_set` does, and write a file for each of its hours, days or months.

    Args:
        config: What is defined.
        model: Whose features.
        spine: As in `training_set`.
        output: Folder of the parts.
        unit: How long a part is; it begins where the unit does in UTC.
        column: What the folders call the time.
        event_time: As in `training_set`.
        encoding: As in `training_set`.
        threads: Of duckdb.
        memory: Bound of duckdb.
        progress: Told how far it is.

    Raises:
        DataError: As in `training_set`.
        OutputError: The disk refuses, or another process writes the same part.
        StoreError: As in `training_set`; or the folder holds other work.
    """
    begun, folder = time.perf_counter(), Path(output)
    with answered(), Joiner(config, model, spine, event_time, threads, memory) as joiner:
        if column in joiner.columns:
            raise StoreError(
                f"a column of the training set is called '{column}' already: give the folders another name"
            )
        spans = joiner.spans(unit)
        _claim(folder, _work(config, model, spine, unit, column, event_time, encoding))
        total, done, parts = max(1, sum(rows for *_, rows in spans)), 0, []
        for low, high, rows in spans:
            name = f"{column}={(START + timedelta(microseconds=low)).strftime(FORMATS[unit])}"
            part, since = folder / name / FILE, time.perf_counter()
            # rows that were left out make a part shorter than its time
            short = encoding is not None and encoding.bad_rows == "skip" and _rows(part) is not None
            kept = short or _rows(part) == rows
            if not kept:
                joiner.join((low, high))
                joiner.write(part, encoding)
            parts.append(Part(name, rows, kept, time.perf_counter() - since))
            done += rows
            if progress is not None:
                progress(done, done / total)
        _finish(folder, parts)
        return TrainingParts(parts, joiner.columns, time.perf_counter() - begun, joiner.found)


def _rows(part: Path) -> int | None:
    try:
        return int(pq.read_metadata(part).num_rows)
    except (OSError, pa.ArrowException):
        return None


def _work(
    config: StoreConfig,
    model: str,
    spine: Spine,
    unit: Unit,
    column: str,
    event_time: str | None,
    encoding: Encoding | None,
) -> dict[str, Any]:
    """What tells this work from other work."""
    views = {view.name: view.model_dump() for view, _ in features_of(config, model).values()}
    generator = ""
    if encoding is not None:
        generator = f"{encoding.generator.fingerprint} {','.join(encoding.reserve)} {encoding.bad_rows}"
    given: Any = spine.model_dump() if isinstance(spine, LabelTable) else ""
    if isinstance(spine, pa.Table):
        given = f"a table of {', '.join(spine.schema.names)}"
    elif not isinstance(spine, LabelTable):
        given = str(spine)
    definitions = json.dumps([views, config.model(model).model_dump(), given], sort_keys=True, default=str)
    return {
        "model": model,
        "definitions": hashlib.sha256(definitions.encode()).hexdigest(),
        "unit": unit,
        "column": column,
        "event_time": event_time or "",
        "features": generator,
    }


def _claim(folder: Path, work: Mapping[str, Any]) -> None:
    """Mark the folder with its work.

    Raises:
        StoreError: It holds other work.
    """
    path = folder / WORK
    if path.exists():
        former = json.loads(path.read_text(encoding="utf-8"))
        other = [key for key in work if former.get(key) != work[key]]
        if other:
            raise StoreError(f"{folder} holds a training set of other {', '.join(other)}: take another folder")
        return
    if folder.exists() and any(folder.iterdir()):
        raise StoreError(f"{folder} holds something else: take another folder")
    with whole_file(path, overwrite=False) as partial:
        partial.write_text(json.dumps(work, indent=1), encoding="utf-8")


def _finish(folder: Path, parts: list[Part]) -> None:
    told = {"rows": sum(part.rows for part in parts), "parts": {part.name: part.rows for part in parts}}
    stray = {path.parent.name for path in folder.glob(f"*/{FILE}")} - {part.name for part in parts}
    if stray:
        raise StoreError(f"{folder} holds parts of which the spine has no rows: {', '.join(sorted(stray)[:5])}")
    with whole_file(folder / DONE, overwrite=True) as partial:
        partial.write_text(json.dumps(told, indent=1), encoding="utf-8")
