"""Write the bundle of a trained run's best checkpoint: all that serving needs.

easyrec export -c runs/deepfm --output bundles/today
"""

from __future__ import annotations

import argparse

import easyrec
from easyrec.commands._options import add_checkpoint, add_experiment, add_run_dir, plug_all
from easyrec.commands._print import log


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec export`."""
    add_experiment(parser)
    add_run_dir(parser)
    add_checkpoint(parser)
    parser.add_argument("--output", metavar="DIR", help="where the bundle goes [bundle in the run's folder]")
    parser.add_argument("--overwrite", action="store_true", help="replace a bundle that is there")


def run(args: argparse.Namespace) -> None:
    """Export, and name the bundle."""
    plug_all(args)
    log()
    done = easyrec.export(
        args.config,
        overrides=args.override,
        run_dir=args.run_dir,
        checkpoint=args.checkpoint,
        output=args.output,
        overwrite=args.overwrite,
    )
    print(done.bundle)
