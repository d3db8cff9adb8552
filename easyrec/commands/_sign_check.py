"""Tell which trusted key signed a bundle or delta, after all its files were compared with their checksums.

easyrec sign check --bundle bundles/today --trust serving.yaml
"""

from __future__ import annotations

import argparse

from easyrec.commands._options import add_trust, trust_of
from easyrec.export.sign import check


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec sign check`."""
    parser.add_argument("--bundle", required=True, metavar="DIR", help="a bundle, or a delta")
    add_trust(parser, required=True)


def run(args: argparse.Namespace) -> int:
    """Name the key; 1 where there is none, and the trust does not require one."""
    trust = trust_of(args)
    assert trust is not None
    signer = check(args.bundle, trust)
    print(f"{args.bundle}: " + ("no trusted key signed it" if signer is None else f"signed by '{signer}'"))
    return int(signer is None)
