"""Score the requests of a log again, and tell what differs from what was answered, and why.

easyrec serve replay --log requests --bundle runs/my_shop/bundle
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from easyrec.commands._options import add_plugin, plug_all, positive
from easyrec.commands._print import console, count, table

if TYPE_CHECKING:
    from serving.server.replay import Replayed


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec serve replay`."""
    parser.add_argument("--log", required=True, metavar="PATH", help="a file of the request log, or its folder")
    parser.add_argument("--bundle", required=True, metavar="DIR", help="what scores now")
    parser.add_argument("--requests", type=positive, metavar="N", help="at most so many")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_plugin(parser)


def run(args: argparse.Namespace) -> int:
    """Print what differs; 1 where a difference has no known cause."""
    from serving.server.run import need  # noqa: PLC0415 (an extra)

    need()
    from serving.server.replay import replay  # noqa: PLC0415 (an extra)

    plug_all(args)
    found = replay(args.log, args.bundle, most=args.requests)
    if args.json:
        print(json.dumps(_plain(found), indent=1))
    else:
        _show(found)
    return 1 if found.unexplained else 0


def _plain(found: Replayed) -> dict[str, object]:
    pairs = {
        key: [{"name": name, "cause": cause, "requests": n} for (name, cause), n in counted.items()]
        for key, counted in (("features", found.features), ("scores", found.scores))
    }
    return asdict(found) | pairs | {"unreadable": dict(found.unreadable), "answered": dict(found.answered)}


def _show(found: Replayed) -> None:
    shown = table("replay", "", "requests", right=1)
    shown.add_row("replayed", count(found.requests))
    shown.add_row("the same", count(found.same))
    for text, number in found.unreadable.items():
        shown.add_row(f"refused: {text}", count(number))
    for cause, number in found.answered.items():
        shown.add_row(f"the row is not what was asked: {cause}", count(number))
    console().print(shown)
    if found.features or found.scores:
        differing = table("differences", "", "name", "cause", "requests", right=1)
        for kind, counted in (("feature", found.features), ("score", found.scores)):
            for (name, cause), number in sorted(counted.items()):
                differing.add_row(kind, name, cause, count(number))
        console().print(differing)
    for task, largest in found.largest.items():
        print(f"{task}: scores differ by at most {largest:.1e}; {found.tolerance:.0e} is allowed")
