"""Make a bundle of an older one and a delta: the bytes of a whole export, each compared with its checksum.

easyrec delta apply bundles/monday deltas/tuesday --output bundles/tuesday
"""

from __future__ import annotations

import argparse

from easyrec.commands._options import add_trust, trust_of
from easyrec.export.delta import apply_delta


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec delta apply`."""
    parser.add_argument("bundle", metavar="BUNDLE", help="the bundle that the delta begins at; it stays as it is")
    parser.add_argument("delta", metavar="DELTA", help="what `easyrec delta make` wrote")
    parser.add_argument("--output", metavar="DIR", required=True, help="where the new bundle goes")
    parser.add_argument("--overwrite", action="store_true", help="replace a bundle that is there")
    add_trust(parser)


def run(args: argparse.Namespace) -> None:
    """Apply the delta, and name the bundle."""
    print(apply_delta(args.bundle, args.delta, args.output, overwrite=args.overwrite, trust=trust_of(args)))
