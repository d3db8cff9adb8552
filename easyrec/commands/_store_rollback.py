"""Return to the generation of a view that was read before the last one; once.

easyrec store rollback -c store.yaml user_profile
"""

from __future__ import annotations

import argparse

from easyrec.commands._print import line
from easyrec.commands._store import add_definitions, definitions, opened, view_of


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec store rollback`."""
    add_definitions(parser)
    parser.add_argument("view", metavar="VIEW", help="name of the view")


def run(args: argparse.Namespace) -> None:
    """Roll back, and tell what is read now."""
    from easyrec.store.writer import Writer  # noqa: PLC0415 (help must not wait for it)

    config = definitions(args)
    view = view_of(config, args.view, args.config)
    with opened(config) as store:
        state = Writer(config, store).rollback(view.name)
    line(f"{view.name}: generation {state.generations[-1]} is read now")
