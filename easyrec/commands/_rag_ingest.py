"""Add documents, or write anew what has changed of them.

easyrec rag ingest -c rag.yaml handbook/ prices.csv --fact team=shop year=2026
easyrec rag ingest -c rag.yaml handbook/ --prune
easyrec rag ingest -c rag.yaml --remove handbook/old.md
easyrec rag ingest -c rag.yaml handbook/new.md --preview
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from easyrec.commands._print import console, count, line, table
from easyrec.commands._rag import add_config, config_of, facts_in
from easyrec.errors import ConfigError, DataError

if TYPE_CHECKING:
    from rag.knowledge import KnowledgeBase

ENDINGS, SKIPPED = 8, 10
"""Of files that no reader knows: endings, and files, that are told."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec rag ingest`."""
    add_config(parser)
    parser.add_argument("paths", nargs="*", metavar="PATH", help="files and folders")
    parser.add_argument(
        "--fact",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="what is known of all of them, to filter by; `access` names who may see them; default: what was known stays",
    )
    parser.add_argument("--under", metavar="FOLDER", help="tell documents by their paths from this folder on")
    parser.add_argument("--remove", nargs="+", default=[], metavar="SOURCE", help="documents to take away")
    parser.add_argument(
        "--prune",
        action="store_true",
        help="take documents away that were read from files in these folders which are gone",
    )
    parser.add_argument(
        "--allow-empty", action="store_true", help="let it be no error where nothing is found that a reader knows"
    )
    parser.add_argument(
        "--preview", action="store_true", help="show the chunks that files would have, and keep nothing"
    )


def run(args: argparse.Namespace) -> None:
    """Add, and tell what came of it.

    Raises:
        ConfigError: Nothing is named.
        DataError: Some could not be read, and the others were added; or there are none.
    """
    from rag.knowledge import KnowledgeBase  # noqa: PLC0415 (help must not wait for it)

    facts = facts_in(args.fact, "--fact") if args.fact else None
    if not args.paths and (args.preview or not args.remove):
        raise ConfigError(
            "PATH is missing: files and folders stand before -o, --fact and --remove, which take what follows them"
        )
    config = config_of(args)
    with KnowledgeBase(config.knowledge) as base:
        if args.preview:
            _show(base, args.paths, allow_empty=args.allow_empty)
            return
        for source in args.remove:
            line(f"{source}: {'removed' if base.remove(source) else 'was not there'}")
        if not args.paths:
            return
        columns = (TextColumn("{task.completed} documents"), TimeElapsedColumn(), TextColumn("{task.description}"))
        shown = Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
        with shown:
            task = shown.add_task("", total=None)
            report = base.add(
                args.paths,
                facts,
                under=args.under,
                prune=args.prune,
                progress=lambda source: shown.update(task, advance=1, description=source),
            )
        documents, chunks = base.records.count()
    told = table(config.knowledge.path, "documents", "", right=1)
    told.add_row("added", count(len(report.added)))
    told.add_row("updated", count(len(report.updated)))
    told.add_row("unchanged", count(len(report.unchanged)))
    if args.prune:
        told.add_row("removed", count(len(report.removed)))
    told.add_row("failed", count(len(report.failed)))
    if report.skipped:
        told.add_row("skipped", count(len(report.skipped)))
    told.add_row("chunks of these", count(report.chunks))
    told.add_row("texts embedded", count(report.embedded))
    for what, times in sorted(report.counts.items()):
        told.add_row(what.replace("_", " "), count(times))
    for stage, seconds in report.seconds.items():
        told.add_row(f"seconds to {stage}", f"{seconds:.2f}")
    told.add_row("in all: documents", count(documents))
    told.add_row("in all: chunks", count(chunks))
    console().print(told)
    for source, texts in report.lost.items():
        line(f"{source}: what was edited is no longer in it, and is gone:")
        for text in texts:
            line(f"  {text.splitlines()[0][:100] if text else '(a chunk that was taken away is there again)'}")
    if report.skipped:
        line(_skipped(report.skipped))
    for source in report.removed:
        line(f"{source}: removed, since its file is gone")
    if not (report.added or report.updated or report.unchanged or report.failed):
        _nothing(args.paths, args.allow_empty)
    if report.failed:
        reasons = "\n".join(f"  {reason}" for reason in report.failed.values())
        raise DataError(f"{len(report.failed)} of the documents could not be read; the others are there:\n{reasons}")


def _show(base: KnowledgeBase, paths: Sequence[str], *, allow_empty: bool) -> None:
    """Show the chunks that files, and those in folders, would have.

    Raises:
        DataError: Some cannot be read, and the others were shown; or there are none.
    """
    from rag.sources import sources_of  # noqa: PLC0415 (help must not wait for it)

    failed, skipped, some = list[str](), list[str](), False
    for source in sources_of(paths, skipped=skipped.append):
        some = True
        try:
            chunks = base.preview(source.path)
        except DataError as error:
            failed.append(str(error))
            continue
        for number, chunk in enumerate(chunks):
            line(f"--- {source.name} [{number}] {chunk.kind} {' > '.join(chunk.path)}\n{chunk.text}\n")
        if not chunks:
            line(f"--- {source.name}: has nothing to say\n")
    if skipped:
        line(_skipped(skipped))
    if not some:
        _nothing(paths, allow_empty)
    if failed:
        raise DataError("\n".join(failed))


def _skipped(paths: Sequence[str]) -> str:
    """Files that no reader knows: how many of which endings, and the first of them."""
    endings = Counter(PurePosixPath(path).suffix.lower() or "no ending" for path in paths)
    kinds = ", ".join(f"{count(number)} with {ending}" for ending, number in endings.most_common(ENDINGS))
    some = "\n".join(f"  {path}" for path in paths[:SKIPPED])
    more = f"\n  and {count(len(paths) - SKIPPED)} more" if len(paths) > SKIPPED else ""
    return f"skipped, since no reader knows them: {kinds}{', ...' if len(endings) > ENDINGS else ''}\n{some}{more}"


def _nothing(paths: Sequence[str], allowed: bool) -> None:
    """Say that no file was found, where that is not what was to be expected.

    Raises:
        DataError: It was not.
    """
    if not allowed:
        raise DataError(f"{', '.join(paths)}: holds no file that a reader knows (--allow-empty lets that be no error)")
