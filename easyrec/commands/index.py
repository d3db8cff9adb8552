"""Measure recall and time of the index of embedded items, and choose its settings.

Writes tuning/report.html, with the plot, into the folder of the items, and prints every setting.

    easyrec index -c runs/dssm --users users.parquet -k 100 --recall 0.95 --apply
    easyrec index -c runs/dssm --users users.parquet --index ivf lists=4096 --index hnsw neighbors=16
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import easyrec
from easyrec.commands._options import (
    add_checkpoint,
    add_experiment,
    add_index,
    add_run_dir,
    index_of,
    plug_all,
    positive,
)
from easyrec.commands._print import log
from easyrec.report.index_page import setting

if TYPE_CHECKING:
    from easyrec.retrieval.tuning import Point


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec index`."""
    add_experiment(parser)
    add_run_dir(parser)
    add_checkpoint(parser)
    parser.add_argument("--users", metavar="PATH", help="file, folder or glob; default: the config's data.test")
    parser.add_argument("--items", metavar="DIR", help="what `easyrec embed` wrote [items in the run's folder]")
    parser.add_argument("-k", type=int, default=100, help="items that a user looks for [100]")
    parser.add_argument("--recall", type=float, default=0.95, help="share of the nearest that must be found [0.95]")
    text = "another index to build and measure beside, and its keys: --index ivf lists=4096; several times"
    add_index(parser, text, action="append", default=[])
    parser.add_argument("--queries", type=positive, default=1000, help="users that are taken [1000]")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long searches are timed at each setting [5]")
    parser.add_argument("--apply", action="store_true", help="let the items have the index that is suggested")


def run(args: argparse.Namespace) -> None:
    """Measure, print, and name the report."""
    plug_all(args)
    log()
    heads = [_row("index", "setting", f"recall@{args.k}", "p50 ms", "p95 ms", "processor ms", "bytes per item")]

    def told(point: Point) -> None:
        while heads:  # what is wrong is told before any of it
            print(heads.pop())
        print(_told(vars(point)), flush=True)

    found = easyrec.choose_index(
        args.config,
        args.users,
        k=args.k,
        recall=args.recall,
        indexes=[index_of(words) for words in args.index],
        items=args.items,
        queries=args.queries,
        seconds=args.seconds,
        apply=args.apply,
        told=told,
        overrides=args.override,
        run_dir=args.run_dir,
        checkpoint=args.checkpoint,
    )
    best = found["suggested"]
    if best is None:
        print(f"\nno setting reaches recall@{found['k']} {args.recall:g}")
    else:
        print(f"\nthe cheapest that reaches {args.recall:g}: {best['name']}, {setting(best['config'])}")
        print("applied" if args.apply else "--apply lets the items have it")
    print(found["report"])


def _told(point: Mapping[str, Any]) -> str:
    times = [f"{point[key]:.3f}" for key in ("p50_ms", "p95_ms", "processor_ms")]
    return _row(point["name"], setting(point["config"]), f"{point['recall']:.4f}", *times, f"{point['bytes']:.0f}")


def _row(*cells: str) -> str:
    widths = (28, 16, 12, 9, 9, 12, 14)
    first = [cell.ljust(width) for cell, width in zip(cells[:2], widths, strict=False)]
    return "  ".join([*first, *(cell.rjust(width) for cell, width in zip(cells[2:], widths[2:], strict=True))])
