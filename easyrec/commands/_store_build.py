"""Make the rows of views with a transform, each after those that it reads, and write them to where their source says.

easyrec store build -c store.yaml
easyrec store build -c store.yaml item_clicks --until 2026-01-31 --publish
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import datetime

from easyrec.commands._options import positive
from easyrec.commands._print import bar, console, count, line, table
from easyrec.commands._store import add_definitions, definitions, opened
from easyrec.errors import ConfigError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec store build`."""
    add_definitions(parser)
    parser.add_argument("views", nargs="*", metavar="VIEW", help="views, with those that they read [all]")
    parser.add_argument(
        "--until", type=datetime.fromisoformat, metavar="TIME", help="statistics end here, UTC [with their rows]"
    )
    parser.add_argument("--publish", action="store_true", help="let requests read the last row of each key")
    parser.add_argument("--memory", metavar="SIZE", help="bound such as 8GB; what does not fit goes to disk")
    parser.add_argument("--threads", type=positive, metavar="N", help="threads [all processors]")


def run(args: argparse.Namespace) -> None:
    """Build, publish where that is wanted, and print a line per view."""
    from easyrec.store.build import build, newest_rows  # noqa: PLC0415 (help must not wait for it)
    from easyrec.store.writer import Writer  # noqa: PLC0415 (help must not wait for it)

    config = definitions(args)
    try:
        views = config.built(args.views)
    except ValueError as error:
        raise ConfigError(str(error), args.config) from None
    if not views:
        raise ConfigError("no view has a transform: there is nothing to build", args.config)
    shown = table("views", "view", "rows", "seconds", "path", right=1, numbers=2)
    with bar() as told:
        for place, view in enumerate(views):
            progress = None if told is None else _part(told, place, len(views))
            made = build(
                config, view.name, until=args.until, threads=args.threads, memory=args.memory, progress=progress
            )
            shown.add_row(made.view, count(made.rows), f"{made.seconds:.1f}", made.path)
    console().print(shown)
    if args.publish:
        with opened(config) as store:
            for view in views:
                if view.online:
                    done = Writer(config, store).publish(view.name, newest_rows(config, view.name, args.memory))
                    line(f"{view.name}: generation {done.generation} with {count(done.rows)} rows is read now")


def _part(told: Callable[[int, float], None], place: int, of: int) -> Callable[[float], None]:
    """Tells the share of all views."""
    return lambda share: told(0, (place + share) / of)
