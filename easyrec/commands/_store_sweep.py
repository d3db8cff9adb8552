"""Remove what no generation counts any more from an online store.

easyrec store sweep -c store.yaml
"""

from __future__ import annotations

import argparse

from easyrec.commands._print import count, line
from easyrec.commands._store import add_definitions, definitions, opened


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec store sweep`."""
    add_definitions(parser)


def run(args: argparse.Namespace) -> None:
    """Sweep all entities, and tell how many keys were looked at."""
    from easyrec.store.writer import Writer  # noqa: PLC0415 (help must not wait for it)

    config = definitions(args)
    with opened(config) as store:
        writer = Writer(config, store)
        for entity in config.entities:
            line(f"{entity.name}: {count(writer.sweep(entity.name))} keys were looked at")
