"""Find the nearest items of users, among those that `easyrec embed` made vectors of.

The output has the columns of data.reserved, and the lists `items` and `scores`, in the order of the input.

    easyrec retrieve -c runs/dssm --users users.parquet -k 100 --output found.parquet
"""

from __future__ import annotations

import argparse

import easyrec
from easyrec.commands._options import add_checkpoint, add_experiment, add_run_dir, pairs, plug_all
from easyrec.commands._print import log


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec retrieve`."""
    add_experiment(parser)
    add_run_dir(parser)
    add_checkpoint(parser)
    parser.add_argument("--users", metavar="PATH", help="file, folder or glob; default: the config's data.test")
    parser.add_argument("--items", metavar="DIR", help="what `easyrec embed` wrote [items in the run's folder]")
    parser.add_argument("-k", type=int, default=100, help="items per user [100]")
    parser.add_argument("--exclude", metavar="FEATURE", help="feature with ids of items that a user does not get")
    parser.add_argument(
        "--filter",
        action="extend",
        nargs="+",
        default=[],
        metavar="ATTRIBUTE=VALUE,...",
        help="only items that have one of the values: --filter cate=3,5 brand=acme",
    )
    parser.add_argument(
        "--any-model", action="store_true", help="take items of another model too, if their vectors can be compared"
    )
    parser.add_argument("--output", required=True, metavar="FILE", help="parquet file to write")


def run(args: argparse.Namespace) -> None:
    """Retrieve, and name the file."""
    plug_all(args)
    log()
    options = {"overrides": args.override, "run_dir": args.run_dir, "checkpoint": args.checkpoint}
    where = {"k": args.k, "items": args.items, "exclude": args.exclude, "any_model": args.any_model}
    where["filter"] = {name: text.split(",") for name, text in pairs(args.filter)}
    print(easyrec.retrieve(args.config, args.users, args.output, **where, **options))
