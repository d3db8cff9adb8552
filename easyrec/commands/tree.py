"""Make a tree over the items of a catalogue, for models that search one.

Of the vectors of the items, or of their categories. How good it is stands beside it, as .json and .html.

    easyrec tree --items runs/sasrec/items --output tree.parquet -o branching=8
    easyrec tree --items catalogue.parquet --output tree.parquet -o type=categories by=[cate]
"""

from __future__ import annotations

import argparse
import json

import easyrec
from easyrec.commands._options import add_overrides, add_plugin, plug_all
from easyrec.commands._print import console, count, log, table


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec tree`."""
    parser.add_argument(
        "--items", required=True, metavar="PATH", help="folder that `easyrec embed` wrote, or parquet with the items"
    )
    parser.add_argument("--output", required=True, metavar="FILE", help="parquet file to write")
    parser.add_argument("-c", "--config", metavar="FILE", help="YAML that says how the tree is made [type: kmeans]")
    add_overrides(parser)
    add_plugin(parser)
    parser.add_argument("--id", metavar="COLUMN", help="column of the items' ids [that of the folder, else item_id]")
    parser.add_argument("--vector", default="vector", metavar="COLUMN", help="column of their vectors [vector]")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")


def run(args: argparse.Namespace) -> None:
    """Make the tree, and print how good it is and how a model names it."""
    plug_all(args)
    log()
    options = {"id": args.id, "vector": args.vector, "overwrite": args.overwrite}
    path = easyrec.tree(args.items, args.output, config=args.config, overrides=args.override, **options)
    about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    (told,) = about["levels"][0].keys() - {"nodes", "least", "most"}
    title = f"{count(about['items'])} items, {count(about['nodes'])} nodes"
    shown = table(title, "level", "nodes", "items of one", told, right=0)
    for index, level in enumerate(about["levels"]):
        sizes = dict.fromkeys([count(level["least"]), count(level["most"])])
        shown.add_row(index + 1, count(level["nodes"]), " or ".join(sizes), f"{level[told]:.1%}")
    out = console()
    out.print(shown)
    tree = f"{{path: {path}, branching: {about['config']['branching']}, items: {about['items']}}}"
    out.print(f"{path}\nin a config: model: {{type: tdm, tree: {tree}}}", markup=False, soft_wrap=True)
