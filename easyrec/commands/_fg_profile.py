"""Measure what each feature costs: CPU time on one thread, bytes and ids of its output.

easyrec fg profile -c config.yaml
easyrec fg profile -c config.yaml --input rows.parquet --batches 50 --batch-rows 2000 --json
"""

from __future__ import annotations

import argparse
import dataclasses
import json

import pyarrow as pa

from easyrec.commands._features import add_rows, features
from easyrec.commands._options import add_experiment, positive
from easyrec.commands._print import console, count, table
from easyrec.errors import DataError
from feature_generator.feed import Feed
from feature_generator.offline import raw_columns
from feature_generator.profiling import profile


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec fg profile`."""
    add_experiment(parser)
    add_rows(parser)
    parser.add_argument("--batches", type=positive, default=10, metavar="N", help="batches that are measured [10]")
    parser.add_argument("--batch-rows", type=positive, default=4096, metavar="N", help="rows of a batch [4096]")
    parser.add_argument("--rounds", type=positive, default=5, metavar="N", help="times that each is measured [5]")
    parser.add_argument("--json", action="store_true", help="one JSON object per feature instead of a table")


def run(args: argparse.Namespace) -> None:
    """Measure, and print a line per feature, the most expensive one first."""
    found = features(args)
    feed = found.feed(args.input, args.part, "default")
    batches = _batches(feed, raw_columns(found.generator, feed.schema), args.batches, args.batch_rows)
    costs, whole = profile(found.generator, batches, args.rounds)
    costs = sorted(costs, key=lambda cost: -cost.micros)
    if args.json:
        for cost in [*costs, whole]:
            print(json.dumps(dataclasses.asdict(cost), ensure_ascii=False))
        return
    rows = sum(batch.num_rows for batch in batches)
    title = f"{len(batches)} batches, {count(rows)} rows, one thread"
    shown = table(title, "feature", "µs / 1,000 rows", "share", "bytes / row", "ids / row", right=1)
    for cost in costs:
        shown.add_row(
            cost.feature, f"{cost.micros:,.1f}", f"{cost.share:.1%}", f"{cost.output_bytes:,.1f}", f"{cost.ids:,.2f}"
        )
    shown.add_section()
    shown.add_row("all together", f"{whole.micros:,.1f}", "", f"{whole.output_bytes:,.1f}", f"{whole.ids:,.2f}")
    console().print(shown)


def _batches(feed: Feed, columns: list[str], number: int, rows: int) -> list[pa.RecordBatch]:
    """The first rows of a feed as batches of one size; the last one of the data may be shorter.

    Raises:
        DataError: There is none.
    """
    parts, left = [], number * rows
    for block in feed.blocks(columns):
        parts.append(block.batch.slice(0, left))
        left -= parts[-1].num_rows
        if not left:
            break
    whole = pa.Table.from_batches(parts) if parts else pa.table({})
    if not whole.num_rows:
        raise DataError("there are no rows to measure")
    return [whole.slice(start, rows).combine_chunks().to_batches()[0] for start in range(0, whole.num_rows, rows)]
