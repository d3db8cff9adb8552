"""Make a tree over the items of a catalogue, for models that search one.

Of the vectors of the items, or of their categories. How good it is stands beside it, as .json and .html.

    easyrec tree --items runs/sasrec/items --output tree.parquet -o branching=8
    easyrec tree --items catalogue.parquet --output tree.parquet -o type=categories by=[cate]
"""

from __future__ import annotations

import argparse

import easyrec
from easyrec.commands._of_items import add_options, make
from easyrec.commands._print import console, count, table


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec tree`."""
    add_options(parser, "the items", "the tree is made")


def run(args: argparse.Namespace) -> None:
    """Make the tree, and print how good it is and how a model names it."""
    path, about = make(args, easyrec.tree)
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
