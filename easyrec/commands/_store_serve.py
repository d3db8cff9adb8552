"""Answer reads over HTTP and gRPC until SIGTERM or Ctrl+C.

easyrec store serve -c store.yaml
easyrec store serve -c store.yaml -o serve.port=8010 serve.processes=2
"""

from __future__ import annotations

import argparse

from easyrec.commands._store import add_definitions


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec store serve`."""
    add_definitions(parser)


def run(args: argparse.Namespace) -> None:
    """Serve."""
    from serving.store.config import load_store_server  # noqa: PLC0415 (help must not wait for it)
    from serving.store.run import serve_store  # noqa: PLC0415 (help must not wait for it)

    serve_store(load_store_server(args.config, args.override))
