"""Tell servers over a Redis stream of a new bundle or delta, once all of it lies where it says.

easyrec serve announce --to 'redis://:${REDIS_PASSWORD}@host:6379/0?stream=ctr' --bundle s3://models/ctr/tuesday
easyrec serve announce --to redis://host:6379/0 --delta s3://models/ctr/deltas/tuesday
"""

from __future__ import annotations

import argparse

from easyrec.commands._options import pairs
from easyrec.commands._print import line
from feature_generator.config import Document


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec serve announce`."""
    parser.add_argument(
        "--to", required=True, metavar="URL", help="address of the Redis server; ?stream=NAME [easyrec]"
    )
    places = parser.add_mutually_exclusive_group(required=True)
    places.add_argument("--bundle", metavar="PLACE", help="path or URL of a bundle, as servers reach it")
    places.add_argument("--delta", metavar="PLACE", help="path or URL of a delta")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="of the place's file system, as fsspec takes it",
    )


def run(args: argparse.Namespace) -> None:
    """Announce, and tell the message's number."""
    from serving.server.run import need  # noqa: PLC0415 (an extra)

    need()
    from serving.server.sources.redis import announce  # noqa: PLC0415 (an extra)

    kind = "bundle" if args.bundle is not None else "delta"
    given = Document.of({"to": args.to, "options": dict(pairs(args.option))}).data
    number = announce(given["to"], kind, args.bundle if kind == "bundle" else args.delta, given["options"])
    line(f"announced as {number}")
