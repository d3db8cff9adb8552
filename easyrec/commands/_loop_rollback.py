"""Serve a former version again. The loop goes on from it, and never serves again what came after it.

easyrec loop rollback -c loop.yaml
easyrec loop rollback -c loop.yaml --to 41 --why "clicks were counted twice" --relearn
"""

from __future__ import annotations

import argparse

from easyrec.commands._loop import add_loop, loop_of
from easyrec.commands._print import line, log


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec loop rollback`."""
    add_loop(parser)
    parser.add_argument("--to", type=int, metavar="VERSION", help="which [the one before the one that is served]")
    parser.add_argument("--why", default="", metavar="TEXT", help="to be remembered, and told by the status")
    parser.add_argument(
        "--relearn", action="store_true", help="learn the samples of what is rolled back again [pass over them]"
    )


def run(args: argparse.Namespace) -> None:
    """Roll back, whether the loop runs or not."""
    from easyrec.loop.publishing import Publisher  # noqa: PLC0415 (help must not wait for it)
    from easyrec.loop.versions import Versions  # noqa: PLC0415 (the same)

    log()
    loop = loop_of(args)
    served, now = Publisher(loop, Versions(loop.folder)).roll_back(args.to, args.why, relearn=args.relearn)
    line(f"version {now} is served instead of version {served}")
