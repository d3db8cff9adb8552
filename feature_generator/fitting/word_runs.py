"""Runs: files of words and their counts in the order of the words, and their merge in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

SCHEMA = pa.schema([("word", pa.large_string()), ("count", pa.int64())])
BLOCK_BYTES = 128 << 10
"""Memory of a block of a run, about; the merge holds one of each run."""


def summed(tables: Sequence[pa.Table]) -> pa.Table:
    """Every word of all tables once, with the sum of its counts, in no order."""
    whole = pa.concat_tables(tables).combine_chunks()
    grouped = pa.TableGroupBy(whole, "word", use_threads=False).aggregate([("count", "sum")])
    return pa.table([grouped["word"], grouped["count_sum"]], schema=SCHEMA)


def write_run(path: Path, tables: Iterable[pa.Table]) -> None:
    """Write tables, which follow each other in the order of words, as a run."""
    options = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, SCHEMA, options=options) as writer:
        for table in tables:
            rows = max(1, table.num_rows * BLOCK_BYTES // max(1, table.nbytes))
            for start in range(0, table.num_rows, rows):
                writer.write_table(table.slice(start, rows).combine_chunks(), max_chunksize=rows)


def read_run(path: Path) -> Iterator[pa.Table]:
    """The blocks of a run.

    Raises:
        OSError, pa.ArrowInvalid: It cannot be read.
    """
    with pa.OSFile(str(path), "rb") as file, pa.ipc.open_stream(file) as reader:
        for batch in reader:
            yield pa.Table.from_batches([batch], SCHEMA)


def merged(runs: Sequence[Path]) -> Iterator[pa.Table]:
    """The words of all runs, each once with the sum of its counts, in their order.

    Of each run one block is in memory. What is not above the least of the blocks' last words is complete: no later
    block can hold it.
    """
    with ExitStack() as stack:
        readers = [read_run(path) for path in runs]
        for reader in readers:
            stack.callback(reader.close)  # type: ignore[attr-defined]
        blocks = {i: block for i, reader in enumerate(readers) if (block := next(reader, None)) is not None}
        while blocks:
            bound = min(block["word"][-1].as_py() for block in blocks.values())
            parts = []
            for i, block in list(blocks.items()):
                # Words ascend: how many are not above the bound is where to cut.
                cut = int(pc.sum(pc.less_equal(block["word"], bound)).as_py() or 0)
                parts.append(block.slice(0, cut))
                if cut < block.num_rows:
                    blocks[i] = block.slice(cut)
                elif (following := next(readers[i], None)) is not None:
                    blocks[i] = following
                else:
                    del blocks[i]
            yield in_order(summed(parts)) if len(parts) > 1 else parts[0]


def in_order(table: pa.Table) -> pa.Table:
    """The rows by word."""
    return table.take(pc.sort_indices(table["word"])).combine_chunks()


def most_frequent(tables: Iterable[pa.Table], min_count: int, top_k: int | None) -> pa.Table:
    """The words of the tables, which hold each once, by falling count; of equal ones by word.

    Args:
        tables: Any.
        min_count: Rarer words are left out.
        top_k: At most this many.
    """
    kept: list[pa.Table] = []
    rows = 0
    for table in tables:
        kept.append(table.filter(pc.greater_equal(table["count"], min_count)))
        rows += kept[-1].num_rows
        if top_k is not None and rows > 2 * top_k + 100_000:
            kept = [_ranked(kept).slice(0, top_k)]
            rows = kept[0].num_rows
    ranked = _ranked(kept) if kept else SCHEMA.empty_table()
    return ranked if top_k is None else ranked.slice(0, top_k)


def _ranked(tables: Sequence[pa.Table]) -> pa.Table:
    whole = pa.concat_tables(tables).combine_chunks()
    words = np.argsort(pc.sort_indices(whole["word"]).to_numpy(), kind="stable")  # rank of each word
    order = np.lexsort([words, -whole["count"].to_numpy()])
    return whole.take(pa.array(order))
