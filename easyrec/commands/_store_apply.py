"""Let definitions hold from now on.

What breaks those who read (a view or field that goes, another type) needs --force.

    easyrec store apply -c store.yaml
    easyrec store apply -c store.yaml --force --note "ages are gone"
"""

from __future__ import annotations

import argparse

from easyrec.commands._print import line
from easyrec.commands._store import add_definitions, definitions, print_changes


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec store apply`."""
    add_definitions(parser)
    parser.add_argument("--force", action="store_true", help="apply also what breaks those who read")
    parser.add_argument("--note", default="", metavar="TEXT", help="what to say of this version")


def run(args: argparse.Namespace) -> None:
    """Apply, and tell what changed."""
    from easyrec.store.registry import Registry  # noqa: PLC0415 (help must not wait for it)

    config = definitions(args)
    version, found = Registry(config.registry).apply(config, note=args.note, force=args.force)
    if found:
        print_changes(f"project '{config.project}'", found)
    line(f"version {version.number} of project '{config.project}' holds{'' if found else ', as before'}")
