"""Keep the items of a catalogue in a knowledge base: new and changed ones are written, and those that are gone taken away.

easyrec rag items -c rag.yaml
"""

from __future__ import annotations

import argparse
import sys

from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from easyrec.commands._print import console, count, table
from easyrec.commands._rag import add_config, config_of
from easyrec.errors import ConfigError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec rag items`."""
    add_config(parser)


def run(args: argparse.Namespace) -> None:
    """Write, and tell what came of it."""
    from rag.items import add_items  # noqa: PLC0415 (help must not wait for it)
    from rag.knowledge import KnowledgeBase  # noqa: PLC0415

    config = config_of(args)
    if config.items is None:
        raise ConfigError(f"{args.config}: 'items' is missing: it names the table of the catalogue")
    columns = (TextColumn("{task.completed} items"), TimeElapsedColumn())
    shown = Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    with KnowledgeBase(config.knowledge) as base, shown:
        task = shown.add_task("", total=None)
        report, gone = add_items(base, config.items, progress=lambda _: shown.update(task, advance=1))
    told = table(config.knowledge.path, "items", "", right=1)
    told.add_row("added", count(len(report.added)))
    told.add_row("updated", count(len(report.updated)))
    told.add_row("unchanged", count(len(report.unchanged)))
    told.add_row("taken away", count(gone))
    told.add_row("texts embedded", count(report.embedded))
    for stage, seconds in report.seconds.items():
        told.add_row(f"seconds to {stage}", f"{seconds:.2f}")
    console().print(told)
