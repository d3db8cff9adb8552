"""Features of rows by any number of workers: each takes slices from a queue, and every slice becomes a parquet file."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

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


def encode_parts(
    generator: FeatureGenerator,
    source: Source,
    folder: Path,
    queue: QueueConfig,
    *,
    reserve: Sequence[str] = (),
    rows_per_group: int = offline.GROUP_ROWS,
    threads: int | None = None,
    bad_rows: BadRows = "fail",
    compression: offline.Compression = "zstd",
    wait: bool = True,
    bar: bool = False,
) -> Done:
    """Be one of the workers that write the features of all rows; started again, it does what is missing.

    Args:
        generator: In `raw` mode.
        source: The rows.
        folder: Where the parts go.
        queue: Where the slices are handed out.
        reserve: As in `offline.run`, like all up to `compression`.
        rows_per_group: Most rows of a row group.
        threads: Threads that compute.
        bad_rows: What becomes of bad rows.
        compression: Of the files' pages.
        wait: Stay until all slices are done.
        bar: Whether to draw a progress bar.

    Raises:
        ConfigError: The generator reads encoded columns.
        DataError: A column is missing.
        OutputError: The disk refuses.
        QueueError: Slices have failed, or the queue cannot be used.
        RunError: The folder holds something else.
    """
    job = {
        "work": "fg run",
        "features": generator.fingerprint,
        "rows": content_of(source, list(source.columns)),
        "--reserve": list(reserve),
        "--rows-per-group": rows_per_group,
        "--bad-rows": bad_rows,
        "--compression": compression,
        "slice_rows": queue.slice_rows,
    }
    slices = slices_of(Part(source), queue.slice_rows)
    worker = Worker(queue, slices, Parts(folder, job), exact=bad_rows != "skip", wait=wait, bar=bar)
    # A column that is missing is missing everywhere: told at once, rather than once for every slice.
    offline.raw_columns(generator, SourceFeed(source).schema)

    def make(slice: Slice, path: Path) -> int:
        feed = SourceFeed(SlicedSource(source, slice))
        done = offline.run(
            generator,
            feed,
            path,
            reserve=reserve,
            rows_per_group=rows_per_group,
            threads=threads,
            bad_rows=bad_rows,
            compression=compression,
        )
        for example in done.examples[:1]:
            where = f"{example.place.file}, column '{example.column}'"
            logger.warning("%s: %d rows with bad values, first in %s", slice.description, done.bad_rows, where)
        for reason, number in done.dropped.items():
            logger.warning("%s: %d malformed rows: %s", slice.description, number, reason)
        return done.rows_out

    return worker.run(make)
