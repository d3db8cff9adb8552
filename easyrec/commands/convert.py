"""Turn a config of EasyRec or TorchEasyRec, or a fg.json, into an experiment, and list what did not fit.

easyrec convert pipeline.config -o shop.yaml
easyrec convert fg.json --from fg_json > features.yaml
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from easyrec.check import build
from easyrec.commands._print import table
from easyrec.config import load_experiment
from easyrec.convert import NAMES, Converted, convert
from easyrec.errors import ConfigError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec convert`."""
    parser.add_argument("source", metavar="FILE", help="a pipeline config in the text format of protobuf, or a fg.json")
    parser.add_argument("-o", "--output", metavar="YAML", help="where the experiment goes [standard output]")
    parser.add_argument("--from", dest="kind", choices=list(NAMES), help="whose config it is [what it holds tells]")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")


def run(args: argparse.Namespace) -> None:
    """Convert, report on stderr, and say what `easyrec check` would not accept."""
    target = Path(args.output) if args.output else None
    if target is not None and target.exists() and not args.overwrite:
        raise ConfigError("is there already: --overwrite replaces it", str(target))
    found = convert(args.source, args.kind)
    if target is None:
        sys.stdout.write(found.yaml)
    else:
        target.write_text(found.yaml, encoding="utf-8")
    _report(found, args.source)
    build(load_experiment(found.draft.plain() if target is None else target))


def _report(found: Converted, source: str) -> None:
    err = Console(stderr=True, highlight=False)
    err = err if err.is_terminal else Console(stderr=True, highlight=False, width=140)
    shown = table(f"{source}, of {NAMES[found.kind]}", "", "where", "what became of it", "what to do", right=4)
    for row in found.report.rows():
        shown.add_row(*row)
    if shown.row_count:
        err.print(shown)
    else:
        err.print("everything was carried", markup=False)
