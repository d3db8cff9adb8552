"""Score a parquet or csv file with a trained run, into a parquet file.

The output has the columns of data.reserved and one column per task, in the order of the input.

    easyrec predict -c runs/deepfm --input rows.parquet --output scores.parquet
    easyrec predict -c runs/deepfm --input rows.parquet --output scores --queue work
"""

from __future__ import annotations

import argparse

import easyrec
from easyrec.commands._options import add_checkpoint, add_experiment, add_queue, add_run_dir, plug_all, queue_of
from easyrec.commands._print import log


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec predict`."""
    add_experiment(parser)
    add_run_dir(parser)
    add_checkpoint(parser)
    parser.add_argument("--input", metavar="PATH", help="file, folder or glob; default: the config's data.test")
    parser.add_argument("--output", required=True, metavar="FILE", help="file to write, parquet or .csv")
    add_queue(parser)


def run(args: argparse.Namespace) -> None:
    """Predict, and name the file."""
    plug_all(args)
    log()
    written = easyrec.predict(
        args.config,
        args.input,
        args.output,
        overrides=args.override,
        run_dir=args.run_dir,
        checkpoint=args.checkpoint,
        queue=queue_of(args),
        wait=args.wait is not False,
    )
    print(written)
