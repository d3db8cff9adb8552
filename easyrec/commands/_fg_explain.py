"""Explain the features of one row: its cells, what operators made of them, ids, and which rule gave a default.

easyrec fg explain -c config.yaml --row 17
easyrec fg explain -c config.yaml --input rows.parquet --row 17 --feature price --json
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
from typing import Any

import pyarrow as pa

from easyrec.commands._features import add_rows, features
from easyrec.commands._options import add_experiment
from easyrec.commands._print import console, table
from easyrec.errors import DataError
from feature_generator.explain import explain
from feature_generator.feed import Feed
from feature_generator.offline import raw_columns

SHOWN = 8
"""Values of a list that the table shows."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec fg explain`."""
    add_experiment(parser)
    add_rows(parser)
    parser.add_argument("--row", type=int, default=0, metavar="K", help="row of the data, from 0 [0]")
    parser.add_argument("--feature", action="append", default=[], metavar="NAME", help="only this one; may be repeated")
    parser.add_argument("--json", action="store_true", help="one JSON object per feature instead of a table")


def run(args: argparse.Namespace) -> None:
    """Find the row, and print a line per feature."""
    found = features(args)
    feed = found.feed(args.input, args.part, "default")
    one = _row(feed, raw_columns(found.generator, feed.schema), args.row)
    explained = explain(found.generator, one, 0, args.feature)
    if args.json:
        for feature in explained:
            print(json.dumps(dataclasses.asdict(feature), ensure_ascii=False, default=str))
        return
    shown = table(f"row {args.row}", "feature", "input", "values", "numbers", "output", "rows of", "why", right=9)
    for feature in explained:
        shown.add_row(
            feature.feature,
            "\n".join(f"{cell.source} = {_cell(cell.value)}" for cell in feature.inputs),
            _list(feature.values),
            "" if feature.numbers is None else _list(feature.numbers),
            "(intermediate)" if feature.output is None else _list(feature.output),
            feature.table,
            "\n".join(feature.notes),
        )
    console().print(shown)


def _row(feed: Feed, columns: list[str], row: int) -> pa.RecordBatch:
    """One row of a feed, read no further than that.

    Raises:
        DataError: There are fewer rows.
    """
    first = 0
    for block in feed.blocks(columns):
        if row < first + block.batch.num_rows:
            return block.batch.slice(row - first, 1)
        first += block.batch.num_rows
    raise DataError(f"there is no row {row}: the data has {first}")


def _cell(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, list):
        return f"[{_list(value)}]"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _list(values: Any) -> str:
    if not len(values):
        return "-"
    texts = [_inner(value) for value in itertools.islice(values, SHOWN)]
    more = f" ... {len(values)} in all" if len(values) > SHOWN else ""
    return " ".join(texts) + more


def _inner(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        inner = [_inner(one) for one in value]
        return inner[0] if len(inner) == 1 else f"[{' '.join(inner)}]"
    return str(value).replace("\x1d", "␝")
