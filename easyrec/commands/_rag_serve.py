"""Serve knowledge bases over HTTP until SIGTERM or Ctrl+C: documents, searches, answers.

easyrec rag serve -c rag.yaml
easyrec rag serve -c rag.yaml --host 127.0.0.1 --port 8040
"""

from __future__ import annotations

import argparse

from easyrec.commands._print import line
from easyrec.commands._rag import add_config


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec rag serve`."""
    add_config(parser)
    parser.add_argument("--host", help="where it listens, in the place of `server.host`")
    parser.add_argument("--port", type=int, help="and at which port; 0 takes a free one")


def run(args: argparse.Namespace) -> None:
    """Serve."""
    from rag.config import load_rag  # noqa: PLC0415 (help must not wait for it)
    from rag.server.run import serve_rag  # noqa: PLC0415

    given = [f"server.{name}={value}" for name in ("host", "port") if (value := getattr(args, name)) is not None]
    serve_rag(load_rag(args.config, [*args.override, *given]), lambda address: line(f"knowledge bases: {address}"))
