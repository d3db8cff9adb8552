"""Show what is defined, which versions were applied, and what is published.

easyrec store show -c store.yaml
easyrec store show -c store.yaml --stats http://127.0.0.1:8010
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import time
import urllib.error
import urllib.request
from typing import Any

from easyrec.commands._print import console, count, line, table
from easyrec.commands._store import add_definitions, definitions, instant, opened
from easyrec.errors import RunError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec store show`."""
    add_definitions(parser)
    parser.add_argument("--stats", metavar="URL", help="what a server of `easyrec store serve` counted")
    parser.add_argument("--token", metavar="NAME", help="environment variable that holds the server's token")


def run(args: argparse.Namespace) -> None:
    """Print the tables."""
    if args.stats is not None:
        _show_stats(args.stats, None if args.token is None else os.environ.get(args.token, ""))
        return
    from easyrec.store.freshness import newest, parsed, place_of  # noqa: PLC0415 (help must not wait for it)
    from easyrec.store.head import Head  # noqa: PLC0415 (help must not wait for it)
    from easyrec.store.progress import progress_of  # noqa: PLC0415 (help must not wait for it)
    from easyrec.store.registry import Registry  # noqa: PLC0415 (help must not wait for it)

    config = definitions(args)
    versions = Registry(config.registry).versions(config.project)
    with opened(config) as store:
        heads = {entity.name: Head.of(store.read(entity.name, [])[0]) for entity in config.entities}
        written = {one.name: parsed(store.read(place_of(one.name), [])[0]) for one in config.entities}
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
            latest = newest(heads[view.entity], view.name, written[view.entity])
            event = "" if latest is None else instant(latest / 1e6)
            number = f"{live.generations[-1]}{f' of {live.version[:12]}' if live.version else ''}"
            state = [number, count(live.rows), instant(live.published), event]
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


def _show_stats(address: str, token: str | None) -> None:
    """Tables of what a server counted."""
    data = _asked(f"{address.rstrip('/')}/stats", token)
    for model, views in data["models"].items():
        shown = table(
            f"model '{model}', {data['store']}",
            *("view", "entity", "generation", "age", "reads/s", "p50 ms", "p95 ms", "p99 ms"),
            *("hits", "misses", "expired", "defaulted"),
            right=2,
            numbers=10,
        )
        for view, one in views.items():
            age = "" if one["age_s"] is None else f"{datetime.timedelta(seconds=round(one['age_s']))}"
            times = [f"{one[key]:.4g}" for key in ("rate", "p50_ms", "p95_ms", "p99_ms")]
            counts = [count(one[key]) for key in ("hits", "misses", "expired", "defaulted")]
            shown.add_row(view, one["entity"], str(one["generation"]), age, *times, *counts)
        console().print(shown)
    for entity, held in data["memory"].items():
        lag = f", {held['lag_s']:.1f} s behind at most" if "lag_s" in held else ""
        line(f"'{entity}': {count(held['rows'])} records in memory{lag}")
    if data["breaker"]["open"]:
        line("the store does not answer, and is not asked")


def _asked(url: str, token: str | None) -> Any:
    """The JSON at an address.

    Raises:
        RunError: It cannot be read.
    """
    if not url.startswith(("http://", "https://")):
        raise RunError(f"--stats takes an address of http or https, not '{url}'")
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:  # noqa: S310 (checked)
            return json.load(answer)
    except (OSError, ValueError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise RunError(f"{url} cannot be read: {error}") from None
