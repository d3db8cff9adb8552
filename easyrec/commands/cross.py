"""Search features: crosses, boundaries, aggregates of keys, hash sizes; write the config with those that gain.

Everything goes to runs/<name>-cross/: best.yaml, which `easyrec train` takes, proposals.csv with the gain and the cost of
every proposal, and report.html. Stopped at any moment, the same command goes on.

    easyrec cross -c config.yaml
    easyrec cross -c config.yaml -o cross.minutes=30 -o cross.crosses.beam=4
"""

from __future__ import annotations

import argparse
import math

import easyrec
from easyrec.commands._options import add_experiment, plug_all
from easyrec.commands._print import console, log, table

SHOWN = 20
"""Proposals in the table."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec cross`."""
    add_experiment(parser)
    parser.add_argument("--run-dir", metavar="DIR", help="folder of the search [runs/<name>-cross]")
    parser.add_argument("--overwrite", action="store_true", help="start over, and remove what is in the folder")


def run(args: argparse.Namespace) -> None:
    """Search, and print the proposals."""
    plug_all(args)
    log()
    found = easyrec.cross(
        args.config, overrides=args.override, plugins=args.plugin, run_dir=args.run_dir, overwrite=args.overwrite
    )
    accepted = found.accepted
    shown = found.proposals[: max(SHOWN, len(accepted))]
    title = f"{found.path.name}: {len(accepted)} of {len(found.proposals)} proposals accepted ({found.seconds:.0f} s)"
    heads = ["proposal", "kind", "state", "gain", "± s.e.", "AUC", "valid", "MB", "us/1000", "reason"]
    numbers = table(title, *heads, right=3, numbers=6)
    for p in shown:
        nats = [_cell(1000 * value, ".3f") for value in (p.gain, p.error)]
        told = [
            *nats,
            _cell(p.auc, "+.5f"),
            _cell(1000 * p.valid, ".3f"),
            _cell(p.memory_mb, ".2f"),
            _cell(p.micros, ".0f"),
        ]
        numbers.add_row(p.name, p.kind, p.state, *told, p.reason)
    out = console()
    out.print(numbers)
    out.print("gains are decreases of the log loss, in nats per 1,000 rows")
    for span, told_ in found.quality.items():
        where = "valid" if span == "valid" else "the newest rows of train"
        out.print(f"AUC of the probes on {where}: {told_['auc_before']:.5f} -> {told_['auc_after']:.5f}")
    for what, path in (("config", found.config), ("report", found.report)):
        out.print(f"{what}: {path}", markup=False, soft_wrap=True)
    out.print(f"to train it: easyrec train -c {found.config}", markup=False, soft_wrap=True)


def _cell(value: float, form: str) -> str:
    return "" if math.isnan(value) else format(value, form)
