"""Print the features that the generator makes of a few rows.

easyrec fg show -c config.yaml --rows 3
easyrec fg show -c config.yaml --part valid --json
"""

from __future__ import annotations

import argparse
import itertools
import json
from typing import Any

import pyarrow as pa

from easyrec.commands._options import add_experiment, experiment, positive
from easyrec.commands._print import console, table
from easyrec.config import Experiment
from easyrec.data import open_sources
from easyrec.errors import ConfigError, DataError, Problem
from feature_generator import OutputSpec
from feature_generator.explain import values_of

SHOWN = 8
"""Values of a row that the table shows."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec fg show`."""
    add_experiment(parser)
    parser.add_argument(
        "--part",
        default="train",
        choices=["train", "valid", "test"],
        help="part of the data; of a split the whole [train]",
    )
    parser.add_argument("--rows", type=positive, default=3, metavar="N", help="rows from its start [3]")
    parser.add_argument("--json", action="store_true", help="one JSON object per row instead of a table")


def run(args: argparse.Namespace) -> None:
    """Transform the first rows and print them."""
    found = experiment(args)
    made = found.generator.transform(_first_rows(found, args.part, args.rows), bad_rows=found.data.bad_rows)
    rows = [{name: values_of(made[name], row) for name in found.generator.outputs} for row in range(made.num_rows)]
    if args.json:
        for row in rows:
            print(json.dumps(row, ensure_ascii=False))
        return
    out, shown = console(), table("features", "feature", "kind", *(f"row {i}" for i in range(len(rows))), right=9)
    for name, spec in found.generator.outputs.items():
        shown.add_row(name, _kind(spec), *(_short(row[name]) for row in rows))
    out.print(shown)
    for bad in made.bad:
        out.print(f"row {bad.row}, column '{bad.column}': {bad.reason}", markup=False)


def _first_rows(found: Experiment, part: str, rows: int) -> pa.Table:
    opened = getattr(open_sources(found), part)
    if opened is None:
        raise ConfigError([Problem(f"the config names no data.{part}", "data", file=found.document.file)])
    source = opened.source
    names = list(found.generator.inputs)
    try:
        source.require(names, f"data.{part}")
        batches, left = [], rows
        for batch in itertools.chain.from_iterable(source.read(unit, names) for unit in source.units()):
            batches.append(batch.slice(0, left))
            left -= batches[-1].num_rows
            if not left:
                break
    finally:
        source.close()
    if not batches:
        raise DataError(f"data.{part} has no rows")
    return pa.Table.from_batches(batches)


def _kind(spec: OutputSpec) -> str:
    ids = f" of {spec.num_embeddings:,}" if spec.num_embeddings and spec.rows == spec.num_embeddings else ""
    return f"{spec.kind.replace('_', ' ')}{ids}"


def _short(values: list[Any]) -> str:
    texts = [f"{v:.4g}" if isinstance(v, float) else str(v) for v in values]
    more = f" ... {len(texts)} in all" if len(texts) > SHOWN else ""
    return " ".join(texts[:SHOWN]) + more if texts else "-"
