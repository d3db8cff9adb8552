"""Features of rows by any number of workers: each takes slices from a queue, and every slice becomes a parquet file."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from easyrec.data.content import content_of
from easyrec.data.feed import SourceFeed
from easyrec.data.parts import Parts
from easyrec.data.queues import QueueConfig
from easyrec.data.slices import Slice, SlicedSource, slices_of
from easyrec.data.sources import Source
from easyrec.data.split import Part
from easyrec.data.work import Done, Worker
from feature_generator import FeatureGenerator, offline
from feature_generator.generator import BadRows

logger = logging.getLogger("easyrec.data")


@dataclass(frozen=True)
class Encoding:
    """How parts are written, as in `offline.run`.

    Attributes:
        reserve: Raw columns that are passed through.
        rows_per_group: Most rows of a row group.
        threads: Threads that compute.
        bad_rows: What becomes of bad rows.
        compression: Of the files' pages.
    """

    reserve: Sequence[str] = ()
    rows_per_group: int = offline.GROUP_ROWS
    threads: int | None = None
    bad_rows: BadRows = "fail"
    compression: offline.Compression = "zstd"

    @property
    def exact(self) -> bool:
        """Whether every row that is read is written."""
        return self.bad_rows != "skip"

    def job(self, generator: FeatureGenerator, rows: str, slice_rows: int) -> dict[str, Any]:
        """What must be the same for parts of two workers to belong together.

        Args:
            generator: Makes the features.
            rows: Tells the rows from others.
            slice_rows: Rows of a slice.
        """
        return {
            "work": "fg run",
            "features": generator.fingerprint,
            "rows": rows,
            "--reserve": list(self.reserve),
            "--rows-per-group": self.rows_per_group,
            "--bad-rows": self.bad_rows,
            "--compression": self.compression,
            "slice_rows": slice_rows,
        }

    def columns(self, generator: FeatureGenerator, source: Source) -> list[str]:
        """Columns that are read. One that is missing is missing everywhere: told at once, rather than once for every slice.

        Raises:
            DataError: A column is missing.
        """
        return list(dict.fromkeys([*offline.raw_columns(generator, SourceFeed(source).schema), *self.reserve]))

    def write(self, generator: FeatureGenerator, source: Source, path: Path) -> offline.Summary:
        """Write the features of all rows of a source."""
        return offline.run(
            generator,
            SourceFeed(source),
            path,
            reserve=self.reserve,
            rows_per_group=self.rows_per_group,
            threads=self.threads,
            bad_rows=self.bad_rows,
            compression=self.compression,
        )


def encode_parts(
    generator: FeatureGenerator,
    source: Source,
    folder: Path,
    queue: QueueConfig,
    encoding: Encoding,
    *,
    wait: bool = True,
    bar: bool = False,
) -> Done:
    """Be one of the workers that write the features of all rows; started again, it does what is missing.

    Args:
        generator: In `raw` mode.
        source: The rows.
        folder: Where the parts go.
        queue: Where the slices are handed out.
        encoding: How parts are written.
        wait: Stay until all slices are done.
        bar: Whether to draw a progress bar.

    Raises:
        ConfigError: The generator reads encoded columns.
        DataError: A column is missing.
        OutputError: The disk refuses.
        QueueError: Slices have failed, or the queue cannot be used.
        RunError: The folder holds something else.
    """
    job = encoding.job(generator, content_of(source, list(source.columns)), queue.slice_rows)
    slices = slices_of(Part(source), queue.slice_rows)
    worker = Worker(queue, slices, Parts(folder, job), exact=encoding.exact, wait=wait, bar=bar)
    encoding.columns(generator, source)

    def make(slice: Slice, path: Path) -> int:
        done = encoding.write(generator, SlicedSource(source, slice), path)
        for example in done.examples[:1]:
            where = f"{example.place.file}, column '{example.column}'"
            logger.warning("%s: %d rows with bad values, first in %s", slice.description, done.bad_rows, where)
        for reason, number in done.dropped.items():
            logger.warning("%s: %d malformed rows: %s", slice.description, number, reason)
        return done.rows_out

    return worker.run(make)
