"""Make an ed25519 pair: NAME.pem signs and stays secret, NAME.pub tells servers whom to trust.

easyrec sign key --output keys/release-2026
"""

from __future__ import annotations

import argparse

from easyrec.export.sign import make_key


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec sign key`."""
    parser.add_argument("--output", required=True, metavar="NAME", help="path of both files, without an ending")


def run(args: argparse.Namespace) -> None:
    """Make the pair, and name its files."""
    private, public = make_key(args.output)
    print(f"{private}: keep it secret\n{public}: name it under 'trust' in serving.yaml")
