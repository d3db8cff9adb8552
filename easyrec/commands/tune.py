"""Search the spaces of a config, such as lr: {log: [1e-4, 1e-2]}, and write the config of the best trial.

Everything goes to runs/<name>-tune/: best.yaml, which `easyrec train` takes, trials.csv and report.html. Stopped at any
moment, the same command goes on.

    easyrec tune -c config.yaml
    easyrec tune -c config.yaml -o tune.budget.trials=100 -o tune.workers=4
"""

from __future__ import annotations

import argparse

import easyrec
from easyrec.commands._options import add_experiment, plug_all
from easyrec.commands._print import console, log, table

SHOWN = 10
"""Trials in the table."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec tune`."""
    add_experiment(parser)
    parser.add_argument("--run-dir", metavar="DIR", help="folder of the study [runs/<name>-tune]")
    parser.add_argument("--overwrite", action="store_true", help="start over, and remove what is in the folder")
    parser.add_argument("--no-bar", action="store_true", help="plain lines instead of a progress bar")


def run(args: argparse.Namespace) -> None:
    """Search, and print the best trials."""
    plug_all(args)
    log()
    found = easyrec.tune(
        args.config,
        overrides=args.override,
        plugins=args.plugin,
        run_dir=args.run_dir,
        overwrite=args.overwrite,
        progress=False if args.no_bar else None,
    )
    best = found.ranked()[:SHOWN]
    heads = ["trial", *found.objectives, "evaluations", "seconds", "point"]
    title = f"{found.path.name}: the best {len(best)} of {len(found.rows)} trials"
    numbers = table(title, *heads, right=1, numbers=len(found.objectives) + 2)
    for row in best:
        told = [f"{row.outcome[name]:.5f}" for name in found.objectives]
        numbers.add_row(row.number, *told, len(row.curve), f"{row.seconds:.1f}", row.point)
    out = console()
    out.print(numbers)
    for what, path in (("config", found.config), ("report", found.report)):
        out.print(f"{what}: {path}", markup=False, soft_wrap=True)
    out.print(f"to train it: easyrec train -c {found.config}", markup=False, soft_wrap=True)
