"""Make vectors of texts: of items, and of users by what they took last.

Texts that were embedded before are neither embedded nor paid for again, also after a run that was killed.

easyrec llm embed -c llm.yaml
easyrec llm embed -c llm.yaml --tables items
easyrec llm embed -c llm.yaml --anew
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from easyrec.commands._llm import add_config, config_of
from easyrec.commands._print import console, count, line, table

if TYPE_CHECKING:
    from easyrec.llm.tools.embed import Embedded


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec llm embed`."""
    add_config(parser)
    parser.add_argument("--tables", nargs="+", metavar="NAME", help="of those of the config, only these")
    parser.add_argument("--anew", action="store_true", help="learn reductions again; vectors of before do not compare")


def run(args: argparse.Namespace) -> None:
    """Embed, and tell what that took."""
    from easyrec.llm.tools.embed import embed  # noqa: PLC0415 (help must not wait for it)

    config, own = config_of(args, "embed")
    told = None
    if sys.stderr.isatty():
        done: dict[str, int] = {}

        def told(name: str, more: int) -> None:
            done[name] = done.get(name, 0) + more
            sys.stderr.write(f"\r{name}: {count(done[name])}   ")

    found = embed(config, own, tables=args.tables, anew=args.anew, progress=told)
    if told is not None:
        sys.stderr.write("\r")
    _tell(found)


def _tell(found: list[Embedded]) -> None:
    columns = ("table", "rows", "without text", "cut", "embedded", "known", "numbers", "seconds")
    shown = table("vectors of texts", *columns, right=1)
    for one in found:
        width = f"{one.width} to {one.dim}" if one.width != one.dim else f"{one.dim}"
        shown.add_row(
            one.name, *map(count, (one.rows, one.empty, one.cut, one.given, one.known)), width, f"{one.seconds:.1f}"
        )
    console().print(shown)
    for one in found:
        line(
            f"{one.name}: {one.output}"
            + (f", {one.explained:.1%} of the variance" if one.explained is not None else "")
        )
        if one.published is not None:
            line(f"{one.name}: {count(one.published)} rows in the feature store, version {one.model[:12]}")
        if one.spent is not None and one.before is not None:
            paid = f"{count(one.spent.calls)} calls, {count(one.spent.input)} tokens"
            stopped = f"; {count(one.before.input)} tokens by runs that were stopped" if one.before.tokens else ""
            line(f"{one.name}: {paid}{stopped}" + (f"; {one.cost:.6f} money" if one.cost else ""))
