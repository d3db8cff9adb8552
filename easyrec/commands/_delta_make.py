"""Write what makes one bundle of another: changed rows of tables, and other files that changed.

easyrec delta make bundles/monday bundles/tuesday --output deltas/tuesday
"""

from __future__ import annotations

import argparse

from easyrec.commands._print import console, count, size, table
from easyrec.export.delta import make_delta


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec delta make`."""
    parser.add_argument("old", metavar="OLD", help="the bundle to begin at, e.g. the one that is served")
    parser.add_argument("new", metavar="NEW", help="the bundle to end at")
    parser.add_argument("--output", metavar="DIR", required=True, help="where the delta goes")
    parser.add_argument("--overwrite", action="store_true", help="replace a delta that is there")


def run(args: argparse.Namespace) -> None:
    """Write the delta, and tell what is in it."""
    made = make_delta(args.old, args.new, args.output, overwrite=args.overwrite)
    shown = table("changed rows", "file", "rows", right=1)
    for name, rows in made.changed.items():
        shown.add_row(name, count(rows))
    for name in made.whole:
        if name.endswith(".npy"):
            shown.add_row(name, "whole")
    out = console()
    if shown.row_count:
        out.print(shown)
    out.print(f"{made.path}: {size(made.bytes)}")
