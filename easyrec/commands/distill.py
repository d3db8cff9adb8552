"""Train a small model with a large one as its teacher, and beside it the same on labels alone.

The config has a section distill: {teachers: runs/big}. Everything goes to runs/<name>-distill/: the student's run with its
bundle, the baseline's, distill.json and report.html. Stopped at any moment, the same command goes on.

    easyrec distill -c student.yaml
    easyrec distill -c student.yaml -o distill.alpha=0.8 -o distill.seeds=3
"""

from __future__ import annotations

import argparse

import easyrec
from easyrec.commands._options import add_experiment, plug_all
from easyrec.commands._print import console, log, table


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec distill`."""
    add_experiment(parser)
    parser.add_argument("--run-dir", metavar="DIR", help="folder of the distillation [runs/<name>-distill]")
    parser.add_argument("--overwrite", action="store_true", help="start over, and remove what is in the folder")
    parser.add_argument("--no-bar", action="store_true", help="plain lines instead of progress bars")


def run(args: argparse.Namespace) -> None:
    """Distill, and print who is how good."""
    plug_all(args)
    log()
    found = easyrec.distill(
        args.config,
        overrides=args.override,
        plugins=args.plugin,
        run_dir=args.run_dir,
        overwrite=args.overwrite,
        progress=False if args.no_bar else None,
    )
    parts = [part for part in ("valid", "test") if any(part in one.metrics for one in found.contestants)]
    heads = ["", "parameters", "ms a request", *(f"{part} {found.metric}" for part in parts)]
    numbers = table(found.path.name, *heads, right=1)
    for one in found.contestants:
        means = [one.mean(part, found.metric) for part in parts]
        size = "" if one.parameters is None else f"{one.parameters:,}"
        time = "" if one.latency_ms is None else f"{one.latency_ms:.3g}"
        numbers.add_row(one.name, size, time, *("" if mean is None else f"{mean:.5f}" for mean in means))
    out = console()
    out.print(numbers)
    told = ", ".join(f"{part} {gain:+.5f}" for part, gain in found.gain.items())
    if told:
        out.print(f"gain over labels alone: {told}", markup=False, soft_wrap=True)
    for what, path in (("report", found.report), ("bundle", found.student.bundle)):
        if path is not None:
            out.print(f"{what}: {path}", markup=False, soft_wrap=True)
