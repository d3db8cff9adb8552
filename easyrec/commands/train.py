"""Train, evaluate, export and report a model.

Everything goes to runs/<name>/. Ctrl-C writes a checkpoint and says how to go on; --resume does.
Several workers train together under torchrun: torchrun --nproc-per-node 2 -m easyrec train -c CONFIG
"""

from __future__ import annotations

import argparse

import easyrec
from easyrec.commands._options import add_experiment, add_run_dir, plug_all, positive
from easyrec.commands._print import log, results
from easyrec.processors import this_worker


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec train`."""
    add_experiment(parser)
    add_run_dir(parser)
    folder = parser.add_mutually_exclusive_group()
    folder.add_argument("--resume", action="store_true", help="go on from the newest checkpoint of the run's folder")
    folder.add_argument("--overwrite", action="store_true", help="remove what is in the run's folder")
    parser.add_argument(
        "--profile",
        type=positive,
        nargs="?",
        const=50,
        default=0,
        metavar="STEPS",
        help="tell by parts where the time of so many steps goes [50], with a trace, in profile/ of the run's folder",
    )
    parser.add_argument("--no-bar", action="store_true", help="plain lines instead of a progress bar")


def run(args: argparse.Namespace) -> None:
    """Train, and print what came out."""
    plug_all(args)
    first = this_worker()[0] == 0
    log(silent=not first)
    done = easyrec.train(
        args.config,
        overrides=args.override,
        run_dir=args.run_dir,
        resume=args.resume,
        overwrite=args.overwrite,
        progress=False if args.no_bar else None,
        profile=args.profile,
    )
    if first:
        results(done)
