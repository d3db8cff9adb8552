"""Make codes of items from their vectors, so that items of like vectors share their first codes.

The last code of an item tells it from others of equal codes. How good the codes are stands beside them, as .json and .html.

    easyrec semantic-ids --items runs/sasrec/items --output ids.parquet
    easyrec semantic-ids --items catalogue.parquet --vector title_vector --output ids.parquet -o type=rq_vae epochs=200
"""

from __future__ import annotations

import argparse

import easyrec
from easyrec.commands._of_items import add_options, make
from easyrec.commands._print import console, count, table


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec semantic-ids`."""
    add_options(parser, "vectors", "codes are made")


def run(args: argparse.Namespace) -> None:
    """Make the codes, and print how good they are."""
    path, about = make(args, easyrec.semantic_ids)
    title = f"{count(about['items'])} items, {about['unique']:.1%} different codes, at most {about['alike']} alike"
    shown = table(title, "level", "used", "entropy", "perplexity", "unexplained", right=0)
    for index, level in enumerate(about["levels"]):
        figures = (f"{level['entropy']:.3f} bits", f"{level['perplexity']:.1f}", f"{level['unexplained']:.1%}")
        shown.add_row(index + 1, count(level["used"]), *figures)
    out = console()
    out.print(shown)
    out.print(str(path), markup=False, soft_wrap=True)
