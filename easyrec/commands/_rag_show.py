"""Show which documents a knowledge base has.

easyrec rag show -c rag.yaml
"""

from __future__ import annotations

import argparse
import datetime

from easyrec.commands._print import console, count, table
from easyrec.commands._rag import add_config, config_of


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec rag show`."""
    add_config(parser)


def run(args: argparse.Namespace) -> None:
    """Print a line for each document."""
    from rag.knowledge import KnowledgeBase  # noqa: PLC0415 (help must not wait for it)

    config = config_of(args)
    with KnowledgeBase(config.knowledge.model_copy(update={"embedder": None})) as base:
        shown = table(config.knowledge.path, "document", "known of it", "written", "chunks", right=3)
        for document in base.documents():
            known = ", ".join(f"{name}={'|'.join(map(str, values))}" for name, values in document.facts.items())
            written = datetime.datetime.fromtimestamp(document.changed).astimezone().strftime("%Y-%m-%d %H:%M")
            shown.add_row(document.source, known, written, count(document.chunks))
    console().print(shown)
