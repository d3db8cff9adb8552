"""Show which documents a knowledge base has, or the chunks of one.

easyrec rag show -c rag.yaml
easyrec rag show -c rag.yaml --document handbook/refunds.md
easyrec rag show -c rag.yaml --document handbook/refunds.md --json
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
from typing import TYPE_CHECKING, Any

from easyrec.commands._print import console, count, line, table
from easyrec.commands._rag import add_config, config_of
from easyrec.errors import DataError, nearest

if TYPE_CHECKING:
    from rag.knowledge import KnowledgeBase
    from rag.records import Part


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec rag show`."""
    add_config(parser, base=True)
    parser.add_argument(
        "--document", metavar="SOURCE", help="the chunks of one, with their numbers, as `edit` takes them"
    )
    parser.add_argument("--json", action="store_true", help="a line of JSON for each document or chunk")


def run(args: argparse.Namespace) -> None:
    """Print a line for each document, or the chunks of one.

    Raises:
        DataError: There is no such document.
    """
    from rag.knowledge import KnowledgeBase  # noqa: PLC0415 (help must not wait for it)

    config = config_of(args)
    with KnowledgeBase(_without_model(config.knowledge)) as base:
        if args.document is None:
            _documents(base, args.json)
        else:
            _chunks(base, args.document, args.json)


def _without_model(config: Any) -> Any:
    """The knowledge base for those who neither search by vectors nor write."""
    return config.model_copy(update={"embedder": None, "chunker": {"type": "structure"}})


def _documents(base: KnowledgeBase, as_json: bool) -> None:
    shown = table(base.config.path, "document", "known of it", "written", "chunks", right=3)
    for document in base.documents():
        if as_json:
            told = dataclasses.asdict(document)
            line(
                json.dumps(
                    {key: told[key] for key in ("source", "facts", "chunks", "changed", "counts")}, ensure_ascii=False
                )
            )
            continue
        known = ", ".join(f"{name}={'|'.join(map(str, values))}" for name, values in document.facts.items())
        written = datetime.datetime.fromtimestamp(document.changed).astimezone().strftime("%Y-%m-%d %H:%M")
        shown.add_row(document.source, known, written, count(document.chunks))
    if not as_json:
        console().print(shown)


def _chunks(base: KnowledgeBase, source: str, as_json: bool) -> None:
    if base.records.document(source) is None:
        there = [document.source for document in base.documents()]
        raise DataError(f"{base.config.path}: there is no document '{source}'{nearest(source, there)}")
    for part in base.parts(source):
        links = base.links(part.id)
        if as_json:
            chunk = dataclasses.asdict(part.chunk)
            beside = [{"id": link.id, "kind": link.link, "text": link.chunk.text} for link in links]
            told = {"id": part.id, "number": part.number, "edited": part.edited, **chunk, "links": beside}
            line(json.dumps(told, ensure_ascii=False))
        else:
            line(f"--- {part.id}  {_about(part)}\n{part.chunk.text}\n")
            for link in links:
                line(f"    {link.id}  {link.link}: {link.chunk.text}\n")


def _about(part: Part) -> str:
    """What is known of a chunk, in a line."""
    chunk = part.chunk
    pages = sorted({place.page for place in chunk.places if place.page is not None})
    told = [
        chunk.kind,
        *(["edited"] if part.edited else []),
        *([f"page {'-'.join(map(str, pages[:: len(pages) - 1 or 1]))}"] if pages else []),
    ]
    return ", ".join(told) + (f"  {' > '.join(chunk.path)}" if chunk.path else "")
