"""Write what users did as instructions and answers, for trainers of language models. No model is asked.

easyrec llm instruct -c llm.yaml
easyrec llm instruct -c llm.yaml --limit 100
"""

from __future__ import annotations

import argparse

from easyrec.commands._llm import add_config, bar, config_of
from easyrec.commands._print import console, count, line, table


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec llm instruct`."""
    add_config(parser)
    parser.add_argument("--limit", type=int, metavar="N", help="N of each task alone, which are drawn")


def run(args: argparse.Namespace) -> None:
    """Write and tell."""
    config, own = config_of(args, "instruct")
    if args.limit is not None:
        own = own.model_copy(update={"limit": args.limit})
    from easyrec.llm.tools.instruct import instruct  # noqa: PLC0415 (help must not wait for it)

    with bar(None, "samples") as progress:
        done = instruct(config, own, progress=progress)
    shown = table("Instructions", "part", "task", "samples", right=2)
    for part, tasks in done.counts.items():
        for task, number in tasks.items():
            shown.add_row(part, task, count(number))
    console().print(shown)
    how = "by the model's tokenizer" if done.exact else "estimated, rather too many"
    line("tokens: " + ", ".join(f"{count(number)} {part}" for part, number in done.tokens.items()) + f" ({how})")
    if done.long:
        line(f"{count(done.long)} are too long and left out")
    line(f"written: {done.output}")
