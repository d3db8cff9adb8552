"""Tell how a loop is doing: what is served, how far it is behind, and what the gate said.

easyrec loop status -c loop.yaml
easyrec loop status -c loop.yaml --json
easyrec loop status -c loop.yaml --html loop.html
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from easyrec.commands._loop import add_loop, loop_of
from easyrec.commands._print import console, line, table

LISTED = 10
"""Versions that are listed."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec loop status`."""
    add_loop(parser)
    parser.add_argument("--json", action="store_true", help="tell it as JSON")
    parser.add_argument("--html", metavar="FILE", help="write the dashboard")


def run(args: argparse.Namespace) -> None:
    """Tell."""
    from easyrec.durable import write_text  # noqa: PLC0415 (help must not wait for it)
    from easyrec.loop.page import page  # noqa: PLC0415 (the same)
    from easyrec.loop.status import rows_of, status_of  # noqa: PLC0415 (the same)

    loop = loop_of(args)
    status = status_of(loop)
    if args.html:
        write_text(Path(args.html), page(loop, status))
    if args.json:
        line(json.dumps(status))
        return
    shown = table(f"loop of {loop.experiment}", "", "now", right=1)
    for name, value in rows_of(status):
        shown.add_row(name, value)
    console().print(shown)
    versions = table("versions", "result", "why", "version", "rows", status["metric"], "of what was served", right=2)
    for one in status["history"][-LISTED:]:
        value, serving = ("" if one.get(key) is None else f"{one[key]:.5f}" for key in ("value", "serving"))
        rows = "" if one.get("rows") is None else f"{one['rows']:,}"
        versions.add_row(one["result"], one.get("why") or "", one["version"], rows, value, serving)
    if versions.row_count:
        console().print(versions)
