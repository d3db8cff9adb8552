"""Score parquet, csv or jsonl files with a trained run, into a parquet or csv file.

The output has the columns of data.reserved and one column per task, in the order of the input.

    easyrec predict -c runs/deepfm --input rows.parquet --output scores.parquet
    easyrec predict -c runs/deepfm --input rows.parquet --output scores --queue work
    easyrec predict -c runs/deepfm --input days/ --output scores --engine spark
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import easyrec
from easyrec.commands._options import (
    add_checkpoint,
    add_engine,
    add_experiment,
    add_queue,
    add_run_dir,
    engine_of,
    plug_all,
    queue_of,
)
from easyrec.commands._print import add_spread, console, count, line, log, table
from easyrec.errors import ConfigError

if TYPE_CHECKING:
    from easyrec.data import Report
    from easyrec.data.spread import Spread


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec predict`."""
    add_experiment(parser)
    add_run_dir(parser)
    add_checkpoint(parser)
    parser.add_argument("--input", metavar="PATH", help="file, folder or glob; default: the config's data.test")
    parser.add_argument("--output", required=True, metavar="FILE", help="file to write, parquet or .csv")
    add_queue(parser)
    add_engine(parser)
    parser.add_argument("--overwrite", action="store_true", help="with --engine: replace the output if it is there")


def run(args: argparse.Namespace) -> None:
    """Predict, and name the file."""
    plug_all(args)
    queue, engine = queue_of(args), engine_of(args)
    if args.overwrite and engine is None:
        raise ConfigError("--overwrite is for --engine: without it a file is replaced, and parts of a queue are kept")
    log()
    written = easyrec.predict(
        args.config,
        args.input,
        args.output,
        overrides=args.override,
        run_dir=args.run_dir,
        checkpoint=args.checkpoint,
        queue=queue,
        wait=args.wait is not False,
        engine=engine,
        table=args.table,
        where=args.where,
        output_table=args.output_table,
        overwrite=args.overwrite,
        told=lambda report, spread: _print(args.output, report, spread),
    )
    line(written)


def _print(output: str, report: Report, done: Spread) -> None:
    shown = table(output, "", "", right=1)
    shown.show_header = False
    shown.add_row("rows read", count(report.read))
    shown.add_row("rows written", count(done.rows))
    shown.add_row("bad values", count(report.num_bad))
    shown.add_row("seconds", f"{done.seconds:.1f}")
    shown.add_row("rows per second", count(round(report.read / max(done.seconds, 1e-9))))
    add_spread(shown, done)
    out = console()
    out.print(shown)
    if report.num_bad:
        out.print(report.summary(), markup=False, soft_wrap=True)
