"""Make the vectors of a catalogue with a trained matching model, and an index over them.

Stopped at any moment, the same command goes on where it stopped.

    easyrec embed -c runs/dssm
    easyrec embed -c runs/dssm --items today.parquet --output vectors --index ivf_pq lists=2048 --attributes cate
"""

from __future__ import annotations

import argparse

import easyrec
from easyrec.commands._options import add_checkpoint, add_experiment, add_index, add_run_dir, index_of, plug_all
from easyrec.commands._print import log


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec embed`."""
    add_experiment(parser)
    add_run_dir(parser)
    add_checkpoint(parser)
    parser.add_argument("--items", metavar="PATH", help="file, folder or glob; default: the config's data.items")
    parser.add_argument("--output", metavar="DIR", help="folder to write [items in the run's folder]")
    add_index(parser, "what finds the nearest, and its keys: --index ivf lists=4096 probes=32 [hnsw]", default=["hnsw"])
    parser.add_argument(
        "--attributes", nargs="+", default=[], metavar="COLUMN", help="columns that retrieving may filter by"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace vectors of other items or by another model")


def run(args: argparse.Namespace) -> None:
    """Embed, and name the folder."""
    plug_all(args)
    log()
    options = {"overrides": args.override, "run_dir": args.run_dir, "checkpoint": args.checkpoint}
    made = {"index": index_of(args.index), "attributes": args.attributes, "overwrite": args.overwrite}
    print(easyrec.embed(args.config, args.items, args.output, **made, **options))
