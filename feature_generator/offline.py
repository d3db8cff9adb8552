"""`run`: features of any number of rows into one parquet file, in bounded memory, on all processors.

A thread reads, a thread computes (on several threads of its own), and the caller writes. The file is written beside
its name and renamed when it is complete; its schema says which generator made it.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from feature_generator.ahead import ahead
from feature_generator.columns import Table
from feature_generator.encoding import RAW, column_type, encode
from feature_generator.errors import ConfigError, DataError, OutputError, nearest
from feature_generator.feed import BatchFeed, Block, Feed, ParquetFeed, Place, find_files
from feature_generator.generator import BadRows, FeatureGenerator
from feature_generator.origin import metadata
from feature_generator.whole_file import whole_file

Inputs: TypeAlias = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Feed | Iterable[pa.RecordBatch]
Compression: TypeAlias = Literal["zstd", "lz4", "snappy", "none"]

GROUP_ROWS = 1 << 17
GROUP_BYTES = 64 << 20
"""A row group ends here also where it has fewer rows."""

DEPTH = 2
"""Blocks that wait between two threads."""

EXAMPLES = 5


@dataclass(frozen=True)
class Example:
    """One bad value, and where it stood."""

    place: Place
    column: str
    reason: str


@dataclass
class Summary:
    """What a run did.

    Attributes:
        rows_in: Rows that were read.
        rows_out: Rows that were written.
        bytes_in: Bytes of the files that were read, 0 where nobody knows.
        bytes_out: Bytes of the file that was written.
        seconds: How long it took.
        bad_rows: Rows with a bad value, which were skipped or got a default.
        bad: Number of bad values by column.
        examples: The first few of them.
        dropped: Malformed rows that were left out or mended while reading: how many, by reason.
    """

    rows_in: int = 0
    rows_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    seconds: float = 0.0
    bad_rows: int = 0
    bad: Counter[str] = field(default_factory=Counter)
    examples: list[Example] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class _Work:
    """What is done to every block."""

    generator: FeatureGenerator
    columns: list[str]
    reserved: dict[str, str]
    schema: pa.Schema
    threads: int
    bad_rows: BadRows


@dataclass(frozen=True)
class _Made:
    """A block after the generator."""

    batch: pa.RecordBatch
    rows_in: int
    done: float


def run(
    generator: FeatureGenerator,
    inputs: Inputs,
    output: str | os.PathLike[str],
    *,
    reserve: Sequence[str] = (),
    rows_per_group: int = GROUP_ROWS,
    threads: int | None = None,
    bad_rows: BadRows = "fail",
    overwrite: bool = False,
    compression: Compression = "zstd",
    progress: Callable[[int, float], None] | None = None,
) -> Summary:
    """Transform all rows and write them, in their order.

    Args:
        generator: In `raw` mode.
        inputs: Parquet files, folders or globs; record batches; or a `Feed`.
        output: Parquet file to write.
        reserve: Raw columns that are passed through, such as labels. One that is called like an output is written
            as `<name>:raw`.
        rows_per_group: Most rows of a row group.
        threads: Threads that compute; default: all processors. The file does not depend on it.
        bad_rows: As in `FeatureGenerator.transform`.
        overwrite: Replace `output` if it is there.
        compression: Of the file's pages.
        progress: Called with the rows written so far and the share of the input that is done.

    Raises:
        ConfigError: The generator reads encoded columns.
        DataError: There is nothing to read, a column is missing, or a value is bad under `fail`; names file and row.
        OutputError: The file is there already, or the disk refuses; what was there stays.
    """
    if generator.mode != "raw":
        raise ConfigError("the generator reads encoded columns; to encode it must read raw ones (mode='raw')")
    start, path, summary = time.perf_counter(), Path(output), Summary()
    feed = as_feed(inputs)
    if not generator.outputs:
        raise ConfigError("every feature is an intermediate (stub_type): there is nothing to write")
    if any(path.exists() and path.samefile(given) for given in feed.paths):
        raise OutputError(f"{path} is one of the files that are read: write to another one")
    summary.bytes_in = feed.size
    names = _reserved(reserve, feed.schema, generator)
    schema = schema_of(generator, {new: feed.schema.field(old).type for old, new in names.items()})
    columns = raw_columns(generator, feed.schema, str(feed.paths[0]) if feed.paths else "")
    work = _Work(generator, columns, names, schema, threads or processors(), bad_rows)
    made = _transformed(feed, work, summary)
    with whole_file(path, overwrite) as partial, closing(ahead(made, DEPTH)) as batches:
        _write(batches, partial, schema, rows_per_group, compression, summary, progress)
        summary.bytes_out = partial.stat().st_size
    summary.dropped = feed.dropped
    summary.seconds = time.perf_counter() - start
    return summary


def schema_of(generator: FeatureGenerator, reserved: Mapping[str, pa.DataType]) -> pa.Schema:
    """The schema of a file of the generator: its outputs, then the reserved columns; metadata name the generator."""
    fields = [pa.field(name, column_type(spec)) for name, spec in generator.outputs.items()]
    fields += [pa.field(name, kind) for name, kind in reserved.items()]
    return pa.schema(fields, metadata(generator))


def raw_columns(generator: FeatureGenerator, schema: pa.Schema, file: str = "") -> list[str]:
    """Columns that the generator reads; one of objects, `<sequence>`, stands for its `<sequence>__<field>`.

    Raises:
        DataError: One is missing.
    """
    known, columns = set(schema.names), dict[str, None]()
    for name in generator.inputs:
        head = name.partition("__")[0]
        if name not in known and head not in known:
            raise DataError(f"the column is missing{nearest(name, known)}", column=name, file=file)
        columns[name if name in known else head] = None
    return list(columns)


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def as_feed(inputs: Inputs) -> Feed:
    """Rows of whatever a caller may name.

    Raises:
        DataError: A file is missing, or is no parquet file.
    """
    if isinstance(inputs, Feed):
        return inputs
    if isinstance(inputs, str | os.PathLike):
        return ParquetFeed(find_files(inputs))
    if isinstance(inputs, Sequence) and all(isinstance(one, str | os.PathLike) for one in inputs):
        return ParquetFeed(find_files(inputs))
    return BatchFeed(inputs)


def _reserved(reserve: Sequence[str], schema: pa.Schema, generator: FeatureGenerator) -> dict[str, str]:
    """Raw column -> its name in the file."""
    names = {}
    for name in dict.fromkeys(reserve):
        if name not in schema.names:
            raise DataError(f"there is no such column to reserve{nearest(name, schema.names)}", column=name)
        names[name] = name + RAW if name in generator.outputs else name
    return names


def _transformed(feed: Feed, work: _Work, summary: Summary) -> Iterator[_Made]:
    generator, schema = work.generator, work.schema
    columns = list(dict.fromkeys([*work.columns, *work.reserved]))
    with closing(ahead(feed.blocks(columns), DEPTH)) as blocks:
        for block in blocks:
            try:
                table = generator.transform(
                    block.batch.select(work.columns), threads=work.threads, bad_rows=work.bad_rows
                )
            except DataError as error:
                place = block.locate(error.row or 0)
                row, line = (None, None) if error.row is None else (place.row, place.line)
                raise DataError(error.reason, column=error.column, row=row, line=line, file=place.file) from error
            _count_bad(table, block, summary)
            arrays = encode(table, generator.outputs)
            kept = None if table.kept is None else pa.array(table.kept)
            for old, new in work.reserved.items():
                column = block.batch.column(old)
                arrays[new] = _as(column if kept is None else column.take(kept), schema.field(new).type, old, block)
            batch = pa.RecordBatch.from_arrays([arrays[name] for name in schema.names], schema=schema)
            yield _Made(batch, block.batch.num_rows, block.done)


def _count_bad(table: Table, block: Block, summary: Summary) -> None:
    if not table.bad:
        return
    summary.bad_rows += len({bad.row for bad in table.bad})
    summary.bad.update(bad.column for bad in table.bad)
    for bad in table.bad[: EXAMPLES - len(summary.examples)]:
        summary.examples.append(Example(block.locate(bad.row), bad.column, bad.reason))


def _as(column: pa.Array, kind: pa.DataType, name: str, block: Block) -> pa.Array:
    """The column in the type that the first file has."""
    try:
        return column if column.type == kind else column.cast(kind)
    except pa.ArrowException:
        text = f"has type {column.type} here, which does not become the {kind} of the first file"
        raise DataError(text, column=name, file=block.locate(0).file) from None


def _write(
    made: Iterator[_Made],
    path: Path,
    schema: pa.Schema,
    rows_per_group: int,
    compression: Compression,
    summary: Summary,
    progress: Callable[[int, float], None] | None,
) -> None:
    """Write the batches as row groups of `rows_per_group` rows, or of fewer where they are wide."""
    waiting: list[pa.RecordBatch] = []
    rows = size = 0

    def flush() -> None:
        nonlocal rows, size
        if rows:
            writer.write_table(pa.Table.from_batches(waiting, schema), row_group_size=rows)
            waiting.clear()
            rows = size = 0

    writer = pq.ParquetWriter(path, schema, compression=compression, write_page_checksum=True)
    try:
        for one in made:
            batch, at = one.batch, 0
            while at < batch.num_rows:
                part = batch.slice(at, rows_per_group - rows)
                waiting.append(part)
                at, rows, size = at + part.num_rows, rows + part.num_rows, size + part.nbytes
                if rows == rows_per_group or size >= GROUP_BYTES:
                    flush()
            summary.rows_in += one.rows_in
            summary.rows_out += batch.num_rows
            if progress is not None:
                progress(summary.rows_out, one.done)
        flush()
    except BaseException:
        _abandon(writer)
        raise
    writer.close()


def _abandon(writer: pq.ParquetWriter) -> None:
    """Close a writer whose file will be removed; that its end cannot be written matters to nobody."""
    try:
        writer.close()
    except OSError:
        return
