"""Find what makes the embedding tables of a model so many times smaller without costing accuracy, and write its config.

Everything goes to runs/<name>-compress/: best.yaml, which `easyrec train` and `easyrec export` take, candidates.csv and
report.html. A run that is not there yet is trained first.

    easyrec compress -c config.yaml --target 4x
    easyrec compress -c runs/deepfm --target 8x --retrain -o export.max_auc_drop=0.001
"""

from __future__ import annotations

import argparse

import easyrec
from easyrec.commands._options import add_experiment, add_run_dir, plug_all
from easyrec.commands._print import console, log, size, table


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec compress`."""
    add_experiment(parser)
    add_run_dir(parser)
    parser.add_argument("--target", metavar="N", type=times, default=4.0, help="how many times smaller, e.g. 4x [4x]")
    parser.add_argument(
        "--output", metavar="DIR", help="folder of what is found [that of the run, -compress behind it]"
    )
    parser.add_argument("--retrain", action="store_true", help="also train with tables that are made of smaller ones")
    parser.add_argument("--overwrite", action="store_true", help="replace what is in the folder")


def times(text: str) -> float:
    """A number with or without an x behind it."""
    return float(text.removesuffix("x"))


def run(args: argparse.Namespace) -> None:
    """Search, and print what was measured."""
    plug_all(args)
    log()
    found = easyrec.compress(
        args.config,
        target=args.target,
        overrides=args.override,
        plugins=args.plugin,
        run_dir=args.run_dir,
        output=args.output,
        retrain=args.retrain,
        overwrite=args.overwrite,
    )
    heads = ["candidate", "tables", "times smaller", *[f"AUC of {t} lost" for t in found.auc], "seconds"]
    shown = table(f"{size(found.bytes)} of tables in fp32", *heads, "", right=1, numbers=len(heads) - 1)
    for one in found.tried:
        lost = [f"{one.auc_drop[t]:.5f}" if t in one.auc_drop else "" for t in found.auc]
        smaller = f"{found.bytes / one.bytes:.2f}" if one.bytes else ""
        mark = "best" if one is found.best else "refused" if one.reason else ""
        shown.add_row(one.candidate.name, size(one.bytes), smaller, *lost, f"{one.seconds:.1f}", mark)
    out = console()
    out.print(shown)
    if not found.reached:
        hint = "" if args.retrain else "; --retrain also tries tables that are made of smaller ones"
        out.print(f"the target of {found.target:g}x is not reached{hint}", markup=False, soft_wrap=True)
    for what, path in (("config", found.config), ("report", found.report)):
        out.print(f"{what}: {path}", markup=False, soft_wrap=True)
