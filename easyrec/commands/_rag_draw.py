"""Draw what is done with a question, step by step.

easyrec rag draw -c rag.yaml
easyrec rag draw -c rag.yaml --form mermaid
"""

from __future__ import annotations

import argparse

from easyrec.commands._print import line
from easyrec.commands._rag import add_config, config_of


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec rag draw`."""
    add_config(parser)
    parser.add_argument(
        "--form", choices=("text", "mermaid"), default="text", help="lines for a terminal, or a flow chart of Mermaid"
    )


def run(args: argparse.Namespace) -> None:
    """Check the pipeline, and draw it."""
    from rag.pipeline.drawing import as_mermaid, as_text  # noqa: PLC0415 (help must not wait for it)

    steps = config_of(args).steps()
    line(as_text(steps) if args.form == "text" else as_mermaid(steps))
