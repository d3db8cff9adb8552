"""Ask a language model why items are recommended: texts that cite what the user did himself.

easyrec llm explain -c llm.yaml
easyrec llm explain -c llm.yaml --limit 20
"""

from __future__ import annotations

import argparse

from easyrec.commands._llm import add_config, bar, config_of, tell_asked
from easyrec.commands._print import count, line


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec llm explain`."""
    add_config(parser)
    parser.add_argument("--limit", type=int, metavar="N", help="the first N rows alone")


def run(args: argparse.Namespace) -> None:
    """Ask, write and tell."""
    config, own = config_of(args, "explain")
    if args.limit is not None:
        own = own.model_copy(update={"recommended": own.recommended.model_copy(update={"limit": args.limit})})
    from easyrec.llm.tools.explain import explain  # noqa: PLC0415 (help must not wait for it)

    endpoint = config.asked()
    with bar(None, "explanations") as progress:
        done = explain(config, own, progress=progress)
    tell_asked({"explanations": (endpoint.model, done.asked)}, priced=endpoint.price is not None)
    dropped = ", ".join(f"{count(number)} {why}" for why, number in done.dropped.items()) or "none"
    line(f"{count(done.sentences)} sentences; dropped: {dropped}")
    line(
        f"{count(done.rows)} rows: {count(done.by_model)} explained by the model, {count(done.by_template)} by the "
        f"template, {count(done.without)} not at all: {done.output}"
    )
