"""Answer requests for lists until SIGTERM or Ctrl+C.

easyrec engine serve -c engine.yaml
easyrec engine serve -c engine.yaml -o port=8020 processes=2
"""

from __future__ import annotations

import argparse

from easyrec.commands._engine import add_engine, engine_config


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec engine serve`."""
    add_engine(parser)


def run(args: argparse.Namespace) -> None:
    """Serve."""
    from serving.engine.run import serve_engine  # noqa: PLC0415 (help must not wait for it)

    serve_engine(engine_config(args), plugins=args.plugin, operators=args.operators)
