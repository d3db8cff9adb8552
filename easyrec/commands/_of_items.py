"""What commands share that make one file of a catalogue's items, such as their semantic ids or a tree."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from easyrec.commands._options import add_overrides, add_plugin, plug_all
from easyrec.commands._print import log


def add_options(parser: argparse.ArgumentParser, items: str, made: str) -> None:
    """Add the options of such a command.

    Args:
        parser: The command's.
        items: What parquet files of items hold.
        made: What the config says.
    """
    parser.add_argument(
        "--items", required=True, metavar="PATH", help=f"folder that `easyrec embed` wrote, or parquet with {items}"
    )
    parser.add_argument("--output", required=True, metavar="FILE", help="parquet file to write")
    parser.add_argument("-c", "--config", metavar="FILE", help=f"YAML that says how {made} [type: kmeans]")
    add_overrides(parser)
    add_plugin(parser)
    parser.add_argument("--id", metavar="COLUMN", help="column of the items' ids [that of the folder, else item_id]")
    parser.add_argument("--vector", default="vector", metavar="COLUMN", help="column of their vectors [vector]")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")


def make(args: argparse.Namespace, function: Callable[..., Path]) -> tuple[Path, dict[str, Any]]:
    """Call what makes the file; gives its path, and what is told of it."""
    plug_all(args)
    log()
    options = {"id": args.id, "vector": args.vector, "overwrite": args.overwrite}
    path = function(args.items, args.output, config=args.config, overrides=args.override, **options)
    return path, json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
