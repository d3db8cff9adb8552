"""Make a catalogue, users, a first log, rows to train on, and the configs of a first system.

easyrec simulate bootstrap -c simulate.yaml --output shop
cd shop && easyrec train -c experiment.yaml
"""

from __future__ import annotations

import argparse
from pathlib import Path

from easyrec.commands._print import console, count, table
from easyrec.commands._simulate import add_config, bar


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec simulate bootstrap`."""
    add_config(parser)
    parser.add_argument("--output", "--out", required=True, metavar="FOLDER", help="where everything goes")


def run(args: argparse.Namespace) -> None:
    """Write the folder, and say what to do with it."""
    from easyrec.simulate.bootstrap import bootstrap  # noqa: PLC0415 (help must not wait for it)
    from easyrec.simulate.config import load_simulate  # noqa: PLC0415 (help must not wait for it)

    config = load_simulate(args.config, args.override)
    with bar() as progress:
        made = bootstrap(config, Path(args.output), overwrite=args.overwrite, progress=progress)
    shown = table(f"{made.folder}", "file", "rows", right=1)
    for name, rows in made.rows.items():
        shown.add_row(name, count(rows))
    out = console()
    out.print(shown)
    clicks = sum(day["clicks"] for day in made.days) / max(sum(day["shown"] for day in made.days), 1)
    out.print(f"log: {made.folder / 'logs'}, {clicks:.2%} of what was shown was clicked", markup=False, soft_wrap=True)
    out.print(f"configs: {', '.join(path.name for path in made.configs)}", markup=False, soft_wrap=True)
    out.print(f"next: cd {made.folder} && easyrec train -c experiment.yaml", markup=False, soft_wrap=True)
