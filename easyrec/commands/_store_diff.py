"""Tell what would change if definitions were applied; 1 where something would break those who read.

easyrec store diff -c store.yaml
"""

from __future__ import annotations

import argparse

from easyrec.commands._print import line
from easyrec.commands._store import add_definitions, definitions, print_changes


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec store diff`."""
    add_definitions(parser)


def run(args: argparse.Namespace) -> int:
    """Print the differences."""
    from easyrec.store.registry import Registry  # noqa: PLC0415 (help must not wait for it)

    config = definitions(args)
    found = Registry(config.registry).diff(config)
    if not found:
        line(f"project '{config.project}' is defined like this already")
        return 0
    print_changes(f"project '{config.project}'", found)
    return int(any(change.breaks for change in found))
