"""The request log: sampled requests with their scores, as Arrow files that `easyrec serve replay` reads.

A row is a request: `user:<column>`, `context:<column>`, lists `item:<column>` and `score:<task>` with a value for each
candidate. `hash:user:<column>` stands for a column about persons. `check:<task>` and `log:features` belong to the row as it is written, without redacted values: scores, and a
digest of each feature.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pyarrow as pa

from easyrec.errors import DataError
from easyrec.export.warmup import feature_digests
from feature_generator.errors import FeatureGeneratorError
from feature_generator.incoming import record
from serving.server.columns import Question, Scores
from serving.server.config import RequestLog
from serving.server.models import Loaded, Model
from serving.server.personal import Personal

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


class _File:
    """A file that is being written, without a buffer: all requests but the last one survive a kill.

    Whoever rewrites it, to forget a user, locks it and puts another file in its place; what was to be written then goes
    into a new one.
    """

    def __init__(self, path: Path, schema: pa.Schema, since: float) -> None:
        self._path, self.since, self.rows = path, since, 0
        self._sink = path.open("wb", buffering=0)
        with self._locked():
            self._writer = pa.ipc.new_stream(self._sink, schema)

    def write(self, batch: pa.RecordBatch) -> bool:
        """Whether the file is still there, and so holds the request now."""
        with self._locked():
            if not self._in_place():
                return False
            self._writer.write_batch(batch)
        self.rows += 1
        return True

    def close(self) -> None:
        with self._locked():
            self._writer.close()
        self._sink.close()

    def _in_place(self) -> bool:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return False
        own = os.fstat(self._sink.fileno())
        return (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with contextlib.suppress(OSError):  # a file system without locks, on which `forget` refuses to work
            fcntl.flock(self._sink, fcntl.LOCK_EX)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                fcntl.flock(self._sink, fcntl.LOCK_UN)


class RequestLogWriter:
    """Writes requests, one file per bundle at a time. For one thread.

    Args:
        config: Where, how much, and what not.
        clock: Seconds since 1970.
    """

    def __init__(self, config: RequestLog, clock: Callable[[], float] = time.time) -> None:
        self._config, self.personal, self._clock = config, Personal(config), clock
        self._open: dict[tuple[str, str], _File] = {}

    def write(self, model: Model, loaded: Loaded, question: Question, scores: Scores) -> bool:
        """Whether it could be written: values that no column of the bundle's types holds cannot."""
        redacted, personal = self.personal.names(loaded)
        try:
            sides, recast = logged(loaded, question, redacted)
            hashes = self.personal.hashes(loaded, question, personal)
        except (DataError, pa.ArrowException, ValueError, TypeError):
            return False
        check, digests = scores, {}
        try:
            predictor = loaded.predictor
            table = predictor.features(sides["user"], sides["item"], sides["context"])
            digests = {name: digest[:DIGITS] for name, digest in feature_digests(table).items()}
            if recast or redacted:
                check = predictor.predict(sides["user"], sides["item"], sides["context"])
        except FeatureGeneratorError:
            return False  # e.g. a redacted column without a default under `bad_values: fail`
        columns: dict[str, pa.Array] = {
            "log:request": pa.array([uuid.uuid4().hex]),
            "log:time": pa.array([self._now()], pa.timestamp("us", "UTC")),
            "log:recast": pa.array([recast], pa.list_(pa.string())),
            "log:features": pa.array([list(digests.items())], pa.map_(pa.string(), pa.string())),
            **hashes,
        }
        for side, batch in sides.items():
            for name, values in zip(batch.schema.names, batch.columns, strict=True) if batch is not None else ():
                columns[f"{side}:{name}"] = _one_list(values) if side == "item" else values
        for kind, found in (("score", scores), ("check", check)):
            columns |= {f"{kind}:{task}": _one_list(_arrow(values)) for task, values in found.items()}
        self._put(model, loaded, pa.RecordBatch.from_arrays(list(columns.values()), list(columns)), redacted)
        return True

    def close(self) -> None:
        """Close the files."""
        for opened in self._open.values():
            opened.close()
        self._open.clear()

    def expire(self) -> None:
        """Begin new files where the first rows are old, and remove the files of which even the last ones are."""
        now = self._clock()
        for key, opened in list(self._open.items()):
            if now - opened.since > self._config.file_seconds:
                opened.close()
                del self._open[key]
        if self._config.keep_days is None:
            return
        oldest = now - self._config.keep_days * 86_400.0
        for path in Path(self._config.path).glob(f"*/*{SUFFIX}"):
            with contextlib.suppress(FileNotFoundError):  # another process removed it
                if path.stat().st_mtime < oldest:
                    path.unlink()

    def _put(self, model: Model, loaded: Loaded, batch: pa.RecordBatch, redacted: frozenset[str]) -> None:
        key = (model.name, loaded.version)
        while True:
            if key not in self._open:
                self.close()  # of the bundle before
                self.expire()
                self._open[key] = self._file(model, loaded, batch.schema, redacted)
            opened = self._open[key]
            if opened.write(batch):
                break
            opened.close()
            del self._open[key]
        if opened.rows >= self._config.file_rows:
            opened.close()
            del self._open[key]

    def _file(self, model: Model, loaded: Loaded, schema: pa.Schema, redacted: frozenset[str]) -> _File:
        folder = Path(self._config.path) / model.name
        folder.mkdir(parents=True, exist_ok=True)
        stamp = self._now().strftime("%Y%m%dT%H%M%S")
        path = folder / f"{stamp}-{loaded.version}-{uuid.uuid4().hex[:8]}{SUFFIX}"
        told = {
            "model": model.name,
            "version": loaded.digest,
            "fingerprint": loaded.predictor.manifest.fingerprint,
            "redacted": ",".join(sorted(redacted)),
            **self.personal.told(),
        }
        return _File(path, schema.with_metadata(told), self._clock())

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), timezone.utc)


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


def models_of(path: Path) -> list[str]:
    """The models whose requests a file or a folder's files hold, as far as they can be read."""
    found: set[str] = set()
    for file in path.rglob(f"*{SUFFIX}") if path.is_dir() else [path]:
        with contextlib.suppress(OSError, pa.ArrowException), file.open("rb") as opened:
            name = (pa.ipc.open_stream(opened).schema.metadata or {}).get(b"model")
            found.update([] if name is None else [name.decode()])
    return sorted(found)


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
