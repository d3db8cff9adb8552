"""Join the features of a model to rows, each as it was known at the row's time, and write a parquet file.

easyrec store training-set -c store.yaml ctr --spine clicks.parquet --output train.parquet
easyrec store training-set -c store.yaml ctr --spine clicks/ --output train.parquet --event-time shown_at --memory 8GB
"""

from __future__ import annotations

import argparse

from easyrec.commands._options import positive
from easyrec.commands._print import count, line
from easyrec.commands._store import add_definitions, definitions


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec store training-set`."""
    add_definitions(parser)
    parser.add_argument("model", metavar="MODEL", help="name of a model's features")
    parser.add_argument("--spine", required=True, metavar="PATH", help="parquet with ids, times and labels")
    parser.add_argument("--output", required=True, metavar="FILE", help="parquet file to write")
    parser.add_argument("--event-time", default="event_time", metavar="COLUMN", help="the spine's times [event_time]")
    parser.add_argument("--memory", metavar="SIZE", help="bound such as 8GB; what does not fit goes to disk")
    parser.add_argument("--threads", type=positive, metavar="N", help="threads [all processors]")


def run(args: argparse.Namespace) -> None:
    """Join, and name the file."""
    from easyrec.store.point_in_time import training_set  # noqa: PLC0415 (help must not wait for it)

    made = training_set(
        definitions(args),
        args.model,
        args.spine,
        args.output,
        event_time=args.event_time,
        threads=args.threads,
        memory=args.memory,
    )
    line(f"{args.output}: {count(made.rows)} rows, {len(made.columns)} columns, {made.seconds:.1f} s")
