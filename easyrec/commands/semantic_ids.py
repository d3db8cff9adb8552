"""Make codes of items from their vectors, so that items of like vectors share their first codes.

The last code of an item tells it from others of equal codes. How good the codes are stands beside them, as .json and .html.

    easyrec semantic-ids --items runs/sasrec/items --output ids.parquet
    easyrec semantic-ids --items catalogue.parquet --vector title_vector --output ids.parquet -o type=rq_vae epochs=200
"""

from __future__ import annotations

import argparse
import json

import easyrec
from easyrec.commands._options import add_overrides, add_plugin, plug_all
from easyrec.commands._print import console, count, log, table


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec semantic-ids`."""
    parser.add_argument(
        "--items", required=True, metavar="PATH", help="folder that `easyrec embed` wrote, or parquet with vectors"
    )
    parser.add_argument("--output", required=True, metavar="FILE", help="parquet file to write")
    parser.add_argument("-c", "--config", metavar="FILE", help="YAML that says how codes are made [type: kmeans]")
    add_overrides(parser)
    add_plugin(parser)
    parser.add_argument("--id", metavar="COLUMN", help="column of the items' ids [that of the folder, else item_id]")
    parser.add_argument("--vector", default="vector", metavar="COLUMN", help="column of their vectors [vector]")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")


def run(args: argparse.Namespace) -> None:
    """Make the codes, and print how good they are."""
    plug_all(args)
    log()
    options = {"id": args.id, "vector": args.vector, "overwrite": args.overwrite}
    path = easyrec.semantic_ids(args.items, args.output, config=args.config, overrides=args.override, **options)
    about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    title = f"{count(about['items'])} items, {about['unique']:.1%} different codes, at most {about['alike']} alike"
    shown = table(title, "level", "used", "entropy", "perplexity", "unexplained", right=0)
    for index, level in enumerate(about["levels"]):
        figures = (f"{level['entropy']:.3f} bits", f"{level['perplexity']:.1f}", f"{level['unexplained']:.1%}")
        shown.add_row(index + 1, count(level["used"]), *figures)
    out = console()
    out.print(shown)
    out.print(str(path), markup=False, soft_wrap=True)
