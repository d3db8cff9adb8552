"""Find what documents say, and show it.

easyrec rag search -c rag.yaml "how long does a refund take?" -k 3 --filter team=shop
easyrec rag search -c rag.yaml "refund" --json
"""

from __future__ import annotations

import argparse
import json

from easyrec.commands._print import line
from easyrec.commands._rag import (
    add_config,
    add_search,
    add_trace,
    config_of,
    facts_in,
    print_trace,
    question_of,
    tell_empty,
    where,
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec rag search`."""
    add_config(parser, base=True)
    add_search(parser, "what is looked for")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each chunk")
    add_trace(parser)


def run(args: argparse.Namespace) -> None:
    """Search, and print what was found."""
    from rag.rag import Rag  # noqa: PLC0415 (help must not wait for it)

    question, filter = question_of(args), facts_in(args.filter, "--filter") or None
    with Rag(config_of(args)) as rag:
        found = rag.search(question, filter=filter, k=args.k)
        tell_empty(rag.base)
    if args.trace:
        print_trace(found.trace, args.trace)
    hits = found.hits
    for rank, hit in enumerate(hits, 1):
        if args.json:
            told = {"id": hit.part.id, "score": hit.score, "parts": dict(hit.parts), "source": hit.part.source}
            chunk = hit.part.chunk
            line(json.dumps({**told, "path": chunk.path, "kind": chunk.kind, "text": hit.text}, ensure_ascii=False))
        else:
            parts = ", ".join(f"{kind} {score:.3f}" for kind, score in hit.parts.items())
            line(f"{rank}. {hit.score:.3f} ({parts})  {where(hit)}\n{hit.text}\n")
    if not hits and not args.json:
        line("nothing was found")
