"""What the tools of `easyrec llm` share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from easyrec.commands._options import add_overrides
from easyrec.commands._print import console, count, line, table
from easyrec.errors import ConfigError
from easyrec.llm.took import COLUMNS, TEXTS, rows_of

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
        ConfigError: Everything wrong with it, with lines; or `--limit`, which some tools have, is below 1.
    """
    from easyrec.llm.config import load_llm  # noqa: PLC0415 (help must not wait for it)

    loaded = load_llm(args.config, tool, args.override)
    limit: int | None = getattr(args, "limit", None)
    if limit is not None and limit < 1:
        raise ConfigError(f"--limit: must be at least 1, but is {limit}")
    return loaded


def tell_asked(asked: Mapping[str, tuple[str, Asked[Any]]], *, priced: bool = True) -> None:
    """Print what was asked, what came of it and what it took.

    Args:
        asked: By what it was asked for: the model, and what came of it.
        priced: Whether the models have a price.
    """
    from easyrec.llm.asking import prompts_of  # noqa: PLC0415 (help must not wait for it)

    columns = len(COLUMNS) - (not priced)
    shown = table("What it took", *COLUMNS[:columns], right=TEXTS)
    for row in rows_of(prompts_of(asked)):
        shown.add_row(*row[:columns])
    console().print(shown)


def tell_vectors(report: Mapping[str, Any]) -> None:
    """Print what vectors took that a server made."""
    if made := report.get("vectors"):
        told = f"vectors by {made['model']}: {count(made['tokens']['calls'])} calls, {count(made['tokens']['input'])} tokens"
        line(told + (f", {made['cost']:.4g} money" if made["cost"] else ""))


@contextmanager
def bars(total: int | None = None) -> Iterator[Callable[[str, int], object]]:
    """Bars of what is done on a terminal, and nothing elsewhere; it is told of what, by name, how many more are done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    shown = Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    tasks: dict[str, TaskID] = {}

    def told(name: str, more: int) -> None:
        if name not in tasks:
            tasks[name] = shown.add_task(name, total=total)
        shown.update(tasks[name], advance=more)

    with shown:
        yield told


@contextmanager
def bar(total: int | None, name: str) -> Iterator[Callable[[int], object]]:
    """The same of one thing."""
    with bars(total) as told:
        told(name, 0)
        yield lambda more: told(name, more)
