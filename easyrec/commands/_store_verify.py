"""Compare what was served with what training sets hold of the same moments, and tell what differs and why.

easyrec store verify -c store.yaml --log reads --model ctr
easyrec store verify -c store.yaml --log requests --model ctr --time shown_at --report consistency.html
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from easyrec.commands._options import positive
from easyrec.commands._print import console, count, line, table
from easyrec.commands._store import add_definitions, definitions, model_of

if TYPE_CHECKING:
    from easyrec.store.verify import Verified


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec store verify`."""
    add_definitions(parser)
    parser.add_argument("--log", required=True, metavar="PATH", help="a log of reads or of requests, or its folder")
    parser.add_argument("--model", required=True, metavar="MODEL", help="name of a model's features")
    parser.add_argument("--time", metavar="COLUMN", help="column of a request with the time of its features [log:time]")
    parser.add_argument("--rows", type=positive, metavar="N", help="compare at most so many rows of an entity")
    parser.add_argument(
        "--max-mismatch", type=_share, default=0.0, metavar="SHARE", help="share of values that may differ [0]"
    )
    parser.add_argument(
        "--causes",
        type=positive,
        default=1000,
        metavar="N",
        help="rows that differ, spread over all of them, of which the cause is looked for [1000]",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--report", metavar="FILE", help="HTML page to write")
    parser.add_argument("--memory", metavar="SIZE", help="bound such as 8GB; what does not fit goes to disk")
    parser.add_argument("--threads", type=positive, metavar="N", help="threads [all processors]")


def run(args: argparse.Namespace) -> int:
    """Print what differs; 1 where it is more than may differ."""
    from easyrec.store.verify import verify  # noqa: PLC0415 (help must not wait for it)

    config = definitions(args)
    found = verify(
        config,
        model_of(config, args.model, args.config).name,
        args.log,
        time_column=args.time,
        most=args.rows,
        looked_at=args.causes,
        threads=args.threads,
        memory=args.memory,
    )
    told = {**asdict(found), "share": found.share, "expired": found.expired, "allowed": args.max_mismatch}
    if args.report:
        from easyrec.durable import write_text  # noqa: PLC0415 (help must not wait for it)
        from easyrec.report.consistency_page import consistency_page  # noqa: PLC0415 (help must not wait for it)

        write_text(Path(args.report), consistency_page(told))
    if args.json:
        print(json.dumps(told, default=str, indent=1))
    else:
        _show(found)
    return 1 if found.share > args.max_mismatch else 0


def _show(found: Verified) -> None:
    title = f"{found.model}: {count(found.rows)} rows that were served, replayed in {found.seconds:.1f} s"
    heads = ("feature", "view", "values", "mismatch", "missing", "extra", "SMAPE", "edits", "causes")
    shown = table(title, *heads, right=2, numbers=6)
    for one in found.features:
        causes = "; ".join(f"{cause} ({count(number)})" for cause, number in one.causes.items())
        far = ["" if value is None else f"{value:.3g}" for value in (one.smape, one.edit_distance)]
        counts = map(count, (one.values, one.mismatch, one.missing, one.extra))
        shown.add_row(one.name, one.view, *counts, *far, causes)
    console().print(shown)
    if found.absent:
        line(f"not in the log: {', '.join(found.absent)}")
    for one in found.features:
        for case in one.examples:
            line(f"{one.name} of {case.key} at {case.time:.6f}: served {case.served}, replayed {case.replayed}")
    left = sum(one.different - one.explained for one in found.features)
    if left:
        line(f"of {count(left)} differences no cause was looked for: --causes N looks at more rows")
    different = sum(one.different for one in found.features)
    line(f"{count(different)} of {count(sum(one.values for one in found.features))} values differ ({found.share:.3%})")


def _share(text: str) -> float:
    share = float(text)
    if not 0.0 <= share <= 1.0:
        raise argparse.ArgumentTypeError("a share is from 0 to 1")
    return share
