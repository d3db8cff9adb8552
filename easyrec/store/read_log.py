"""Reads that are kept by sample, to be replayed: what was served, of which key, at which moment.

<folder>/<model>/<time>-<random>.arrows   the columns of one entity: `log:time`, the join id, and the features
"""

from __future__ import annotations

import hashlib
import json
import random
import uuid
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from threading import Lock
from typing import Any

import pyarrow as pa

from easyrec.errors import StoreError
from easyrec.store.definitions import StoreConfig

SUFFIX = ".arrows"
TIME = "log:time"
BUFFERED = 1000
"""Rows that wait until they are written."""


class ReadLog:
    """Writes what a model reads. Safe to use from several threads.

    Args:
        config: What is defined.
        model: Whose reads.
        path: Folder of all models.
        sample: Share of the reads that is kept.
        file_rows: Rows in a file.
        seed: Of the sample.
    """

    def __init__(
        self,
        config: StoreConfig,
        model: str,
        path: str | Path,
        sample: float = 0.01,
        file_rows: int = 100_000,
        seed: int | None = None,
    ) -> None:
        if not 0.0 < sample <= 1.0:
            raise StoreError(f"the share of reads that is kept must be above 0 and at most 1, but is {sample}")
        self._folder, self._sample, self._file_rows = Path(path) / model, sample, file_rows
        self._told = {"easyrec": "reads", "model": model, "definitions": digest(config, model)}
        self._random, self._lock = random.Random(seed), Lock()  # noqa: S311 (a sample)
        self._waiting: dict[str, list[pa.RecordBatch]] = {}
        self._rows: dict[str, int] = {}
        self._open: dict[str, tuple[Any, int]] = {}

    @classmethod
    def of(cls, config: StoreConfig, model: str) -> ReadLog | None:
        """The log that section `read` asks for; None: it asks for none."""
        told = config.read.log
        return None if told is None else cls(config, model, told.path, told.sample, told.file_rows)

    def add(self, join_id: str, keys: Sequence[bytes], now: int, rows: pa.RecordBatch) -> None:
        """Keep a read, or not.

        Args:
            join_id: What the ids are called.
            keys: One for each row.
            now: Microseconds since 1970.
            rows: What was served.
        """
        with self._lock:
            if self._random.random() >= self._sample:
                return
            times = pa.array([now] * len(keys), pa.timestamp("us", "UTC"))
            ids = pa.array(keys, pa.binary()).cast(pa.string())
            batch = pa.RecordBatch.from_arrays([times, ids, *rows.columns], [TIME, join_id, *rows.schema.names])
            self._waiting.setdefault(join_id, []).append(batch)
            self._rows[join_id] = self._rows.get(join_id, 0) + batch.num_rows
            if self._rows[join_id] >= BUFFERED:
                self._write(join_id)

    def close(self) -> None:
        """Write what waits, and close the files."""
        with self._lock:
            for join_id in list(self._waiting):
                self._write(join_id)
            for writer, _ in self._open.values():
                writer.close()
            self._open.clear()

    def _write(self, join_id: str) -> None:
        table = pa.Table.from_batches(self._waiting.pop(join_id)).combine_chunks()
        self._rows[join_id] = 0
        try:
            if join_id not in self._open:
                self._folder.mkdir(parents=True, exist_ok=True)
                stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S")
                path = self._folder / f"{stamp}-{uuid.uuid4().hex[:8]}{SUFFIX}"
                schema = table.schema.with_metadata({**self._told, "join_id": join_id})
                self._open[join_id] = (pa.ipc.new_stream(path, schema), 0)
            writer, rows = self._open.pop(join_id)
            writer.write_table(table)
        except OSError as error:
            raise StoreError(f"{self._folder}: reads cannot be kept: {error.strerror or error}") from error
        if rows + table.num_rows >= self._file_rows:
            writer.close()
        else:
            self._open[join_id] = (writer, rows + table.num_rows)


def digest(config: StoreConfig, model: str) -> str:
    """What tells the definitions that a model's features depend on from others."""
    views = sorted({view.name for view, _ in config.columns(config.model(model)).values()})
    told = [config.view(name).model_dump(exclude={"description", "owner", "tags", "source"}) for name in views]
    text = json.dumps([told, config.model(model).model_dump(exclude={"description", "owner"})], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
