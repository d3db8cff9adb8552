"""Show what is defined, which versions were applied, and what is published.

easyrec store show -c store.yaml
"""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path

from easyrec.commands._print import console, count, line, table
from easyrec.commands._store import add_definitions, definitions, opened


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec store show`."""
    add_definitions(parser)


def run(args: argparse.Namespace) -> None:
    """Print the tables."""
    from easyrec.store.head import Head  # noqa: PLC0415 (help must not wait for it)
    from easyrec.store.registry import Registry  # noqa: PLC0415 (help must not wait for it)

    config = definitions(args)
    versions = Registry(Path(config.registry)).versions(config.project)
    with opened(config) as store:
        heads = {entity.name: Head.of(store.read(entity.name, [])[0]) for entity in config.entities}
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
            newest = "" if live.newest is None else _time(live.newest / 1e6)
            number = f"{live.generations[-1]}{f' of {live.version[:12]}' if live.version else ''}"
            state = [number, count(live.rows), _time(live.published), newest]
        ttl = "" if view.ttl is None else f"{datetime.timedelta(seconds=view.ttl)}"
        shown.add_row(view.name, view.entity, view.type, view.owner, count(len(view.fields)), ttl, *state)
    console().print(shown)
    if not versions:
        line("nothing was applied yet: easyrec store apply")
        return
    applied = table("versions", "version", "applied", "hash", "note", right=0, numbers=1)
    for version in versions[-20:]:
        applied.add_row(version.number, _time(version.applied), version.hash[:12], version.note)
    console().print(applied)


def _time(seconds: float) -> str:
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
