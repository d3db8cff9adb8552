"""Show what is defined, which versions were applied, and what is published.

easyrec store show -c store.yaml
"""

from __future__ import annotations

import argparse
import datetime
import time

from easyrec.commands._print import console, count, line, table
from easyrec.commands._store import add_definitions, definitions, instant, opened


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec store show`."""
    add_definitions(parser)


def run(args: argparse.Namespace) -> None:
    """Print the tables."""
    from easyrec.store.head import Head  # noqa: PLC0415 (help must not wait for it)
    from easyrec.store.progress import progress_of  # noqa: PLC0415 (help must not wait for it)
    from easyrec.store.registry import Registry  # noqa: PLC0415 (help must not wait for it)

    config = definitions(args)
    versions = Registry(config.registry).versions(config.project)
    with opened(config) as store:
        heads = {entity.name: Head.of(store.read(entity.name, [])[0]) for entity in config.entities}
        signs = {
            view.name: progress_of(store, view.entity, view.name, known.writing)
            for view in config.views
            if (known := heads[view.entity].views.get(view.name)) is not None and known.writing is not None
        }
    shown = table(
        f"project '{config.project}', online in {store.shown}",
        *("view", "entity", "type", "owner", "fields", "ttl", "generation", "rows", "published", "newest event"),
        right=4,
        numbers=4,
    )
    for view in config.views:
        known = heads[view.entity].views.get(view.name)
        live = None if known is None else known.live
        state = ["", "", "", ""]
        if live is not None:
            newest = "" if live.newest is None else instant(live.newest / 1e6)
            state = [str(live.generations[-1]), count(live.rows), instant(live.published), newest]
        ttl = "" if view.ttl is None else f"{datetime.timedelta(seconds=view.ttl)}"
        shown.add_row(view.name, view.entity, view.type, view.owner, count(len(view.fields)), ttl, *state)
    console().print(shown)
    for name, sign in signs.items():
        told = "is being" if sign.alive(time.time()) else "was not finished and is no more"
        who = f"{told} written by {sign.writer or 'a writer'}, which gave its last sign at {instant(sign.beat)}"
        line(f"{name}: generation {sign.generation} {who}")
    if not versions:
        line("nothing was applied yet: easyrec store apply")
        return
    applied = table("versions", "version", "applied", "hash", "note", right=0, numbers=1)
    for version in versions[-20:]:
        applied.add_row(version.number, instant(version.applied), version.hash[:12], version.note)
    console().print(applied)
