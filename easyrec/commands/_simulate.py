"""What the tools of `easyrec simulate` share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from easyrec.commands._options import add_overrides


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add `-c` and `-o`."""
    parser.add_argument("-c", "--config", required=True, metavar="FILE", help="the simulation's YAML")
    add_overrides(parser)
    parser.add_argument("--overwrite", action="store_true", help="begin anew where there is one already")


@contextmanager
def bar() -> Iterator[Callable[[int, int, int], None] | None]:
    """A bar of requests on a terminal; nothing elsewhere. Told the day, and how many requests of how many are done."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (TextColumn("day {task.fields[day]}"), BarColumn(), TextColumn("{task.completed:,.0f} requests"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("", total=1.0, day="")
        yield lambda day, done, of: shown.update(task, completed=done, total=of, day=day)
