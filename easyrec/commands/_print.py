"""How commands print: tables, counts, sizes, and the library's log."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from easyrec.data.spread import Spread
    from easyrec.train.run import Run


def console() -> Console:
    """Standard output; 140 columns wide where it is no terminal, so that nothing is cut in a file."""
    terminal = Console(highlight=False)
    return terminal if terminal.is_terminal else Console(highlight=False, width=140)


def line(text: object) -> None:
    """Print one line at one stroke: workers that share a terminal or a pipe do not break into each other's lines."""
    sys.stdout.write(f"{text}\n")


class PlainTable(Table):
    """A table whose cells are text, never markup: a user's names may hold brackets."""

    def add_row(self, *cells: object, **options: object) -> None:
        """Add a row of plain texts."""
        super().add_row(*(Text(str(cell)) for cell in cells))


def table(title: str, *columns: str, right: int, numbers: int | None = None) -> PlainTable:
    """A table under a title.

    Args:
        title: Above the table.
        columns: Heads.
        right: Index of the first column of numbers, which lie on the right.
        numbers: How many columns of numbers there are; default: all from there on.
    """
    shown = PlainTable(title=Text(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    last = len(columns) if numbers is None else right + numbers
    for index, name in enumerate(columns):
        shown.add_column(Text(name), justify="right" if right <= index < last else "left", overflow="fold")
    return shown


def count(number: int) -> str:
    """A count with thousands set apart."""
    return f"{number:,}"


def size(number: float) -> str:
    """Bytes as people say them."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def add_spread(shown: PlainTable, done: Spread) -> None:
    """Rows of a table that tell how an engine's workers shared the work."""
    shown.add_row("parts", count(done.slices))
    if done.kept:
        shown.add_row("parts of a former run", count(done.kept))
    shown.add_row("workers", count(len(done.workers)))


@contextmanager
def bar() -> Iterator[Callable[[int, float], None] | None]:
    """A bar of rows on a terminal; nothing elsewhere. Told rows that are done, and the share of all."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (BarColumn(), TextColumn("{task.fields[rows]} rows"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("", total=1.0, rows="0")
        yield lambda rows, share: shown.update(task, completed=share, rows=count(rows))


def log(*, silent: bool = False) -> None:
    """Show what the library says while it works, on stderr, without adornment; or show nothing of it."""
    handler = logging.NullHandler() if silent else logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    for name in ("easyrec", "serving"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(logging.INFO)
        logger.propagate = False


def results(done: Run) -> None:
    """Print the metrics of a run, and where it left what it made."""
    head, *rows = done.summary()
    shown = table(done.path.name, *head, right=1)
    for row in rows:
        shown.add_row(*row)
    out = console()
    if rows:  # without valid and test nothing was measured
        out.print(shown)
    for what, path in (("report", done.report), ("bundle", done.bundle)):
        if path is not None:
            out.print(f"{what}: {path}", markup=False, soft_wrap=True)
