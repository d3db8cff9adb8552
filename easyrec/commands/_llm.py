"""What the tools of `easyrec llm` share."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from easyrec.commands._options import add_overrides

if TYPE_CHECKING:
    from easyrec.llm.config import LlmConfig


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add `-c` and `-o`."""
    parser.add_argument("-c", "--config", required=True, metavar="FILE", help="the YAML of the tools")
    add_overrides(parser)


def config_of(args: argparse.Namespace, tool: str) -> tuple[LlmConfig, Any]:
    """What the YAML says, and its section of a tool.

    Raises:
        ConfigError: Everything wrong with it, with lines.
    """
    from easyrec.llm.config import load_llm  # noqa: PLC0415 (help must not wait for it)

    return load_llm(args.config, tool, args.override)
