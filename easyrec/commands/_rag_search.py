"""Find what documents say, and show it.

easyrec rag search -c rag.yaml "how long does a refund take?" -k 3 --filter team=shop
easyrec rag search -c rag.yaml "refund" --json
"""

from __future__ import annotations

import argparse
import contextlib
import json

from easyrec.commands._print import line
from easyrec.commands._rag import add_config, add_search, config_of, facts_in, where


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec rag search`."""
    add_config(parser)
    parser.add_argument("query", metavar="QUESTION", help="what is looked for")
    add_search(parser)
    parser.add_argument("--json", action="store_true", help="a line of JSON for each chunk")


def run(args: argparse.Namespace) -> None:
    """Search, and print what was found."""
    from rag.knowledge import KnowledgeBase  # noqa: PLC0415 (help must not wait for it)

    config = config_of(args)
    how = config.search
    with contextlib.ExitStack() as stack:
        base = stack.enter_context(KnowledgeBase(config.knowledge))
        reranker = stack.enter_context(how.reranker.open()) if how.reranker is not None else None
        hits = base.search(args.query, how, filter=facts_in(args.filter) or None, reranker=reranker)
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
