"""Answer a question out of documents, with the places that say so.

easyrec rag ask -c rag.yaml "how long does a refund take?"
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from easyrec.errors import ConfigError, DataError

if TYPE_CHECKING:
    from rag.answer import Citation

MOST_BYTES = 64 << 20
"""Of a picture; the config may allow fewer."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec rag ask`."""
    add_config(parser, base=True)
    add_search(parser, "what is asked")
    parser.add_argument("--session", metavar="NAME", help="go on with this talk, which 'chat' of the config remembers")
    parser.add_argument("--user", default="me", metavar="NAME", help="whose talk it is")
    parser.add_argument("--image", nargs="+", default=[], metavar="FILE", help="pictures that belong to the question")
    parser.add_argument("--json", action="store_true", help="one object instead of words as they come")
    add_trace(parser)


def run(args: argparse.Namespace) -> None:
    """Ask, and print the answer as it comes."""
    from rag.answer import Answered  # noqa: PLC0415 (help must not wait for it)
    from rag.rag import Rag  # noqa: PLC0415

    question, config = question_of(args), config_of(args)
    if config.llm is None and config.pipeline is None:
        raise ConfigError(f"{args.config}: 'llm' is missing: it says which model answers")
    with Rag(config) as rag:
        tell_empty(rag.base)
        how: dict[str, Any] = {
            "filter": facts_in(args.filter, "--filter") or None,
            "images": [_content(path) for path in args.image],
            "k": args.k,
        }
        talk = {"user": args.user, "session": args.session}
        pieces = rag.stream(question, **how) if args.session is None else rag.chat(question, **talk, **how)
        for piece in pieces:
            if isinstance(piece, Answered):
                _print(piece, args.json)
                if args.trace and piece.trace is not None:
                    print_trace(piece.trace, args.trace)
            elif not args.json:
                sys.stdout.write(piece)
                sys.stdout.flush()


def _content(path: str) -> bytes:
    """What is in a file.

    Raises:
        DataError: It cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(content) > MOST_BYTES:
        raise DataError(f"{path}: has more than {MOST_BYTES} bytes")
    return content


def _place(citation: Citation) -> dict[str, Any]:
    """A place that an answer names, with its pages and the boxes on them as shares of the page."""
    part = citation.hit.part
    told = {"number": citation.number, "where": where(citation.hit), "id": part.id, "source": part.source}
    return {**told, "places": [asdict(place) for place in part.chunk.places], "text": citation.hit.text}


def _print(answer: object, as_json: bool) -> None:
    """The places that an answer names."""
    from rag.answer import Answered  # noqa: PLC0415 (help must not wait for it)

    assert isinstance(answer, Answered)
    if as_json:
        places = [_place(citation) for citation in answer.citations]
        used = {"input": answer.usage.input, "output": answer.usage.output}
        told = {"answer": answer.text, "known": answer.known, "supported": answer.supported, "citations": places}
        related = [{"where": where(hit), "text": hit.text} for hit in answer.related]
        line(json.dumps({**told, **({"related": related} if related else {}), "tokens": used}, ensure_ascii=False))
        return
    line("\n")
    for citation in answer.citations:
        line(f"[{citation.number}] {where(citation.hit)}")
    for number, hit in enumerate(answer.related):
        line(f"{'' if number else 'see also: '}{where(hit)}")
    if answer.known and not answer.supported:
        line("(the answer names no place that says so)")
