"""What the tools of `easyrec loop` share."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from easyrec.commands._options import add_overrides

if TYPE_CHECKING:
    from easyrec.loop.config import LoopConfig


def add_loop(parser: argparse.ArgumentParser) -> None:
    """Add `-c` and `-o`."""
    parser.add_argument("-c", "--config", required=True, metavar="FILE", help="the loop's YAML")
    add_overrides(parser)


def loop_of(args: argparse.Namespace) -> LoopConfig:
    """What the YAML says.

    Raises:
        ConfigError: Everything wrong with it, with lines.
    """
    from easyrec.loop.config import load_loop  # noqa: PLC0415 (help must not wait for it)

    return load_loop(args.config, args.override)
