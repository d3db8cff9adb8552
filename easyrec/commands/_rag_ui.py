"""Serve a page for people that asks a running `easyrec rag serve`, until SIGTERM or Ctrl+C.

easyrec rag ui -c rag.yaml
easyrec rag ui -c rag.yaml --server http://127.0.0.1:8040 --port 8041
"""

from __future__ import annotations

import argparse

from easyrec.commands._print import line
from easyrec.commands._rag import add_config


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec rag ui`."""
    add_config(parser)
    parser.add_argument("--server", help="the address of the server that is asked, in the place of `ui.server`")
    parser.add_argument("--host", help="where the page is, in the place of `ui.host`")
    parser.add_argument("--port", type=int, help="and at which port; 0 takes a free one")


def run(args: argparse.Namespace) -> None:
    """Serve."""
    from rag.config import load_rag  # noqa: PLC0415 (help must not wait for it)
    from rag.ui.run import serve_ui  # noqa: PLC0415

    given = [f"ui.{name}={value}" for name in ("server", "host", "port") if (value := getattr(args, name)) is not None]
    serve_ui(load_rag(args.config, [*args.override, *given]), lambda address: line(f"the page: {address}"))
