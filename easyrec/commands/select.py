"""Find the features that a config can do without, and write the config that is left.

Everything goes to runs/<name>-select/: best.yaml, which `easyrec train` takes, features.csv and report.html. Stopped at
any moment, the same command goes on.

    easyrec select -c config.yaml
    easyrec select -c config.yaml -o select.budget.top=20
    easyrec select -c config.yaml -o select.method=gates -o select.budget.latency_ms=5
"""

from __future__ import annotations

import argparse

import easyrec
from easyrec.commands._options import add_experiment, plug_all
from easyrec.commands._print import console, log, table


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec select`."""
    add_experiment(parser)
    parser.add_argument("--run-dir", metavar="DIR", help="folder of the selection [runs/<name>-select]")
    parser.add_argument("--overwrite", action="store_true", help="start over, and remove what is in the folder")


def run(args: argparse.Namespace) -> None:
    """Select, and print what each feature is worth."""
    plug_all(args)
    log()
    found = easyrec.select(
        args.config, overrides=args.override, plugins=args.plugin, run_dir=args.run_dir, overwrite=args.overwrite
    )
    methods = list(dict.fromkeys(method for row in found.rows for method in row.importance))
    title = f"{found.path.name}: {sum(row.kept for row in found.rows)} of {len(found.rows)} features are kept"
    shown = table(title, "feature", "", *methods, "why", right=2, numbers=len(methods))
    for row in found.rows:
        told = [f"{row.importance[m]:.5f}" if m in row.importance else "" for m in methods]
        shown.add_row(row.name, "kept" if row.kept else "removed", *told, row.reason)
    out = console()
    out.print(shown)
    for what, values in found.verified.items():
        measured = ", ".join(f"{name} {value:.5f}" for name, value in values.items() if name != "seconds")
        out.print(f"{what}: {measured}, {values['seconds']:.1f} s", markup=False, soft_wrap=True)
    for what, path in (("config", found.config), ("report", found.report)):
        out.print(f"{what}: {path}", markup=False, soft_wrap=True)
    out.print(f"to train it: easyrec train -c {found.config}", markup=False, soft_wrap=True)
