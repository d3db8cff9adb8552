"""Measure a trained run's best checkpoint on valid and test.

easyrec evaluate -c runs/deepfm
easyrec evaluate -c runs/deepfm -o 'eval.slices=[city]' data.test.path=tomorrow.parquet
"""

from __future__ import annotations

import argparse

import easyrec
from easyrec.commands._options import add_checkpoint, add_experiment, add_run_dir, plug_all
from easyrec.commands._print import log, results


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec evaluate`."""
    add_experiment(parser)
    add_run_dir(parser)
    add_checkpoint(parser)


def run(args: argparse.Namespace) -> None:
    """Evaluate, and print the metrics."""
    plug_all(args)
    log()
    results(easyrec.evaluate(args.config, overrides=args.override, run_dir=args.run_dir, checkpoint=args.checkpoint))
