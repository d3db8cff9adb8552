"""The request log: sampled requests with their scores, as Arrow files that `easyrec serve replay` reads.

A row is a request: `user:<column>`, `context:<column>`, lists `item:<column>` and `score:<task>` with a value for each
candidate. `check:<task>` and `log:features` belong to the row as it is written, without redacted values: scores, and a
digest of each feature.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from easyrec.errors import DataError
from easyrec.export.warmup import feature_digests
from feature_generator.errors import FeatureGeneratorError
from feature_generator.incoming import record
from serving.server.columns import Question, Scores
from serving.server.config import RequestLog
from serving.server.models import Loaded, Model

SUFFIX = ".arrows"
DIGITS = 16
"""Digits of a feature's digest that are kept."""
SIDES = ("user", "item", "context")
LOG = [
    pa.field("log:request", pa.string()),
    pa.field("log:time", pa.timestamp("us", "UTC")),
    pa.field("log:recast", pa.list_(pa.string())),
    pa.field("log:features", pa.map_(pa.string(), pa.string())),
]


class RequestLogWriter:
    """Writes requests, one file per bundle at a time. For one thread.

    Args:
        config: Where, how much, and what not.
    """

    def __init__(self, config: RequestLog) -> None:
        self._config, self._redacted = config, frozenset(config.redact)
        self._open: dict[tuple[str, str], tuple[Any, int]] = {}

    def write(self, model: Model, loaded: Loaded, question: Question, scores: Scores) -> bool:
        """Whether it could be written: values that no column of the bundle's types holds cannot."""
        try:
            sides, recast = logged(loaded, question, self._redacted)
        except (DataError, pa.ArrowException, ValueError, TypeError):
            return False
        check, digests = scores, {}
        try:
            predictor = loaded.predictor
            table = predictor.features(sides["user"], sides["item"], sides["context"])
            digests = {name: digest[:DIGITS] for name, digest in feature_digests(table).items()}
            if recast or self._redacted:
                check = predictor.predict(sides["user"], sides["item"], sides["context"])
        except FeatureGeneratorError:
            return False  # e.g. a redacted column without a default under `bad_values: fail`
        columns: dict[str, pa.Array] = {
            "log:request": pa.array([uuid.uuid4().hex]),
            "log:time": pa.array([datetime.now(timezone.utc)], pa.timestamp("us", "UTC")),
            "log:recast": pa.array([recast], pa.list_(pa.string())),
            "log:features": pa.array([list(digests.items())], pa.map_(pa.string(), pa.string())),
        }
        for side, batch in sides.items():
            for name, values in zip(batch.schema.names, batch.columns, strict=True) if batch is not None else ():
                columns[f"{side}:{name}"] = _one_list(values) if side == "item" else values
        for kind, found in (("score", scores), ("check", check)):
            columns |= {f"{kind}:{task}": _one_list(_arrow(values)) for task, values in found.items()}
        self._put(model, loaded, pa.RecordBatch.from_arrays(list(columns.values()), list(columns)))
        return True

    def close(self) -> None:
        """Close the files."""
        for writer, _ in self._open.values():
            writer.close()
        self._open.clear()

    def _put(self, model: Model, loaded: Loaded, batch: pa.RecordBatch) -> None:
        key = (model.name, loaded.version)
        if key not in self._open:
            self.close()  # of the bundle before
            self._expire()
            self._open[key] = (self._file(model, loaded, batch.schema), 0)
        writer, rows = self._open[key]
        writer.write_batch(batch)
        self._open[key] = (writer, rows + 1)
        if rows + 1 >= self._config.file_rows:
            writer.close()
            del self._open[key]

    def _file(self, model: Model, loaded: Loaded, schema: pa.Schema) -> Any:
        folder = Path(self._config.path) / model.name
        folder.mkdir(parents=True, exist_ok=True)
        stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S")
        path = folder / f"{stamp}-{loaded.version}-{uuid.uuid4().hex[:8]}{SUFFIX}"
        told = {
            "model": model.name,
            "version": loaded.digest,
            "fingerprint": loaded.predictor.manifest.fingerprint,
            "redacted": ",".join(sorted(self._redacted & loaded.columns.keys())),
        }
        # Without a buffer, so that all requests but the last one survive a kill.
        return pa.ipc.new_stream(path.open("wb", buffering=0), schema.with_metadata(told))

    def _expire(self) -> None:
        if self._config.keep_days is None:
            return
        oldest = time.time() - self._config.keep_days * 86_400.0
        for path in Path(self._config.path).glob(f"*/*{SUFFIX}"):
            if path.stat().st_mtime < oldest:
                path.unlink(missing_ok=True)


def logged(
    loaded: Loaded, question: Question, redacted: frozenset[str]
) -> tuple[dict[str, pa.RecordBatch | None], list[str]]:
    """A request's columns by side, in the types of training, without redacted values; and those that had other types.

    Raises:
        DataError: A column cannot be read.
        pa.ArrowException: A value does not fit the type.
    """
    recast: list[str] = []
    sides: dict[str, pa.RecordBatch | None] = {}
    for side, data in zip(SIDES, (question.user, question.items, question.context), strict=True):
        names = [name for name, own in loaded.columns.items() if own == side]
        if not names:
            sides[side] = None
            continue
        rows = [data] if side != "item" and isinstance(data, Mapping) else data
        given = record(rows, names)
        arrays = []
        for name in names:
            kind = _plain(loaded.schema.field(name).type)
            column = given.column(name)
            if name in redacted:
                arrays.append(pa.nulls(len(column), kind))
                continue
            if column.type != kind:
                if not pa.types.is_null(column.type):
                    recast.append(name)
                column = column.cast(kind)
            arrays.append(column)
        sides[side] = pa.RecordBatch.from_arrays(arrays, names)
    return sides, recast


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _one_list(values: pa.Array) -> pa.Array:
    return pa.LargeListArray.from_arrays(pa.array([0, len(values)], pa.int64()), values)


def _arrow(values: np.ndarray) -> pa.Array:
    array = pa.array(np.ascontiguousarray(values, np.float32).reshape(-1))
    for size in reversed(values.shape[1:]):
        array = pa.FixedSizeListArray.from_arrays(array, size)
    return array


def read_log(path: Path) -> Iterator[tuple[dict[str, str], pa.RecordBatch]]:
    """The rows of a file or of a folder's files, each with what its file says of itself.

    A file that a killed process left is read up to its last whole request.

    Raises:
        DataError: There is no such file, or one is no request log.
    """
    files = sorted(path.rglob(f"*{SUFFIX}")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise DataError("holds no request log", file=str(path))
    for file in files:
        with file.open("rb") as opened:
            try:
                reader = pa.ipc.open_stream(opened)
            except (pa.ArrowException, OSError) as error:
                if file.stat().st_size == 0:
                    continue
                raise DataError(f"is no request log: {error}", file=str(file)) from None
            told = {key.decode(): value.decode() for key, value in (reader.schema.metadata or {}).items()}
            if "fingerprint" not in told:
                raise DataError("is no request log: its schema does not say which bundle answered", file=str(file))
            while True:
                try:
                    batch = reader.read_next_batch()
                except (StopIteration, OSError, pa.ArrowException):
                    break
                for row in range(batch.num_rows):
                    yield told, batch.slice(row, 1)
