"""Ask a language model for profiles of items and users, as columns of features.

easyrec llm profile -c llm.yaml
easyrec llm profile -c llm.yaml --limit 20
"""

from __future__ import annotations

import argparse

from easyrec.commands._llm import add_config, bar, config_of, tell_asked
from easyrec.commands._print import console, count, line, table

SHOWN = 5


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec llm profile`."""
    add_config(parser)
    parser.add_argument("--limit", type=int, metavar="N", help="the first N items and the first N users alone")


def run(args: argparse.Namespace) -> None:
    """Ask, write and tell."""
    config, own = config_of(args, "profile")
    if args.limit is not None:
        parts = {name: getattr(own, name) for name in ("of_items", "of_users")}
        less = {"limit": args.limit}
        own = own.model_copy(
            update={name: one.model_copy(update=less) for name, one in parts.items() if one is not None}
        )
    from easyrec.llm.tools.profile import profile  # noqa: PLC0415 (help must not wait for it)

    endpoint = config.asked()
    with bar(None, "profiles") as progress:
        done = profile(config, own, progress=progress)
    tell_asked({name: (endpoint.model, one.asked) for name, one in done.items()}, priced=endpoint.price is not None)
    for name, one in done.items():
        shown = table(f"Profiles of {name}", "field", "values", "unsupported", "rows without", right=1)
        for key, number in one.claims.items():
            dropped = count(one.unsupported[key]) if key in one.unsupported else ""
            shown.add_row(key, count(number), dropped, count(one.unknown[key]))
        console().print(shown)
        for key, some in one.examples.items():
            line(f"unsupported in {key}: " + ", ".join(repr(value) for value in some[:SHOWN]))
        if one.skipped:
            line(f"{count(one.skipped)} {name} have {'no text' if name == 'items' else 'too few events'}")
        line(f"{count(one.rows)} {name}: {one.output}")
