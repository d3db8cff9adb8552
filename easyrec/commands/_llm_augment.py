"""Ask a language model who would take items that few have taken yet: rows for training, marked synthetic.

easyrec llm augment -c llm.yaml
easyrec llm augment -c llm.yaml --limit 20
"""

from __future__ import annotations

import argparse

from easyrec.commands._llm import add_config, bar, config_of, tell_asked
from easyrec.commands._print import count, line


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec llm augment`."""
    add_config(parser)
    parser.add_argument("--limit", type=int, metavar="N", help="the first N cold items alone")


def run(args: argparse.Namespace) -> None:
    """Ask, write and tell."""
    config, own = config_of(args, "augment")
    if args.limit is not None:
        own = own.model_copy(update={"limit": args.limit})
    from easyrec.llm.tools.augment import augment  # noqa: PLC0415 (help must not wait for it)

    endpoint = config.asked()
    with bar(None, "questions") as progress:
        done = augment(config, own, progress=progress)
    tell_asked({own.how: (endpoint.model, done.asked)}, priced=endpoint.price is not None)
    line(f"{count(done.cold)} cold items, {count(done.users)} users to ask about: {count(done.named)} choices")
    dropped = [
        (done.unknown, "unknown numbers"),
        (done.doubled, "named twice"),
        (done.turned, "not in both orders"),
        (done.over, "over a bound"),
    ]
    line("dropped: " + ", ".join(f"{count(number)} {why}" for number, why in dropped))
    line(f"{count(done.rows)} synthetic rows of {count(done.items)} items: {done.output}")
