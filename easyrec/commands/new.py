"""Write a first config for a model or statistic, every key with its meaning; without --model list them.

easyrec new
easyrec new --model deepfm
easyrec new --model din --data log.parquet --labels click --output din.yaml
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from easyrec.commands._options import add_plugin, plug_all
from easyrec.errors import ConfigError
from easyrec.starter import grouped, has_catalogue, models, starter, write_items


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec new`."""
    parser.add_argument("--model", metavar="TYPE", help="the model or statistic; without it all are listed")
    parser.add_argument("--data", metavar="FILE", help="a parquet or csv file whose columns become features [the shop]")
    parser.add_argument(
        "--labels", nargs="+", metavar="COLUMN", help="its labels [0/1 columns that are called like ones]"
    )
    parser.add_argument("--output", metavar="YAML", help="where the config goes [<model>.yaml]; - for standard output")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    add_plugin(parser)


def run(args: argparse.Namespace) -> None:
    """Write the config, or list the models."""
    plug_all(args)
    if args.model is None:
        known = models()
        width = max(map(len, known))
        for family, names in grouped(known).items():
            print("\n".join([family, *(f"  {name:<{width}}  {known[name]}" for name in names), ""]))
        print("easyrec new --model TYPE")
        return
    target = Path(args.output or f"{args.model}.yaml")
    items = target.with_name(f"{target.stem}_items.parquet")
    if args.output == "-":
        sys.stdout.write(starter(args.model, args.data, args.labels))
        return
    text = starter(args.model, args.data, args.labels, str(items))
    if target.exists() and not args.overwrite:
        raise ConfigError("is there already: --overwrite replaces it, --output names another file", str(target))
    if has_catalogue(args.model) and (args.overwrite or not items.exists()):
        print(f"{items}: {write_items(text, items):,} items of the rows of training")
    target.write_text(text, encoding="utf-8")
    options = "".join(f" --plugin {name}" for name in args.plugin)
    print(f"{target}: easyrec train -c {target}{options}")
