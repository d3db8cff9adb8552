"""What the tools of `easyrec llm` share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress

from easyrec.commands._options import add_overrides
from easyrec.commands._print import console, count, table

if TYPE_CHECKING:
    from easyrec.llm.asking import Asked
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


def tell_asked(asked: Mapping[str, tuple[str, Asked[Any]]], *, priced: bool = True) -> None:
    """Print what was asked, what came of it and what it took.

    Args:
        asked: By what it was asked for: the model, and what came of it.
        priced: Whether the models have a price.
    """
    head = [
        "asked for",
        "model",
        "asked",
        "from cache",
        "answered",
        "unparsed",
        "refused",
        "rejected",
        "tokens in",
        "out",
    ]
    shown = table("What it took", *head, *(["cost"] if priced else []), right=2)
    for name, (model, one) in asked.items():
        bad = (
            one.kinds["unparsed"] + one.kinds["cut"],
            one.kinds["refused"],
            one.kinds["rejected"] + one.kinds["failed"],
        )
        numbers = (one.count, one.cached, one.kinds["answered"], *bad, one.spent.input, one.spent.output)
        shown.add_row(name, model, *map(count, numbers), *([f"{one.cost:.4g}"] if priced else []))
    console().print(shown)


@contextmanager
def bar(total: int | None, name: str) -> Iterator[Callable[[int], object]]:
    """A bar of what is done on a terminal, and nothing elsewhere; it is told how many more are done."""
    shown = Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    with shown:
        task = shown.add_task(name, total=total)
        yield lambda more: shown.update(task, advance=more)
