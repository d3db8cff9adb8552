"""What the tools of `easyrec rag` share."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from easyrec.commands._options import add_overrides, pairs

if TYPE_CHECKING:
    from rag.config import RagConfig
    from rag.knowledge import Hit
    from rag.pipeline.trace import Trace


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add `-c` and `-o`."""
    parser.add_argument("-c", "--config", required=True, metavar="FILE", help="the YAML of the knowledge base")
    add_overrides(parser)


def config_of(args: argparse.Namespace) -> RagConfig:
    """What the YAML says.

    Raises:
        ConfigError: Everything wrong with it, with lines.
    """
    from rag.config import load_rag  # noqa: PLC0415 (help must not wait for it)

    k = getattr(args, "k", None)
    return load_rag(args.config, args.override if k is None else [*args.override, f"search.k={k}"])


def add_search(parser: argparse.ArgumentParser) -> None:
    """Add what narrows a search."""
    parser.add_argument("--filter", nargs="+", default=[], metavar="NAME=VALUE", help="what must hold of what is found")
    parser.add_argument("-k", type=int, help="how many chunks are wanted")


def add_trace(parser: argparse.ArgumentParser) -> None:
    """Add `--trace`."""
    parser.add_argument(
        "--trace",
        nargs="?",
        const="text",
        choices=("text", "json"),
        help="tell on the error stream what each step was given, gave, and took",
    )


def print_trace(told: Trace, form: str) -> None:
    """What each step did, on the stream of errors: what is asked for goes to the other one."""
    if form == "json":
        sys.stderr.write(json.dumps(told.as_json(), ensure_ascii=False) + "\n")
        return
    for step in told.steps:
        tokens = f", tokens {step.tokens_in}+{step.tokens_out}" if step.tokens_in or step.tokens_out else ""
        cost = f", cost {step.cost:.6g}" if step.cost else ""
        sys.stderr.write(f"{step.name} ({step.type}) {1000 * step.seconds:.1f} ms{tokens}{cost}\n")
        for arrow, values in (("<", step.inputs), (">", step.outputs), ("!", step.notes)):
            for name, value in values.items():
                sys.stderr.write(f"  {arrow} {name}: {json.dumps(value, ensure_ascii=False)}\n")
    sys.stderr.write(f"together {1000 * told.seconds:.1f} ms, cost {told.cost:.6g}, fallbacks {told.fallbacks}\n")


def facts_in(given: Iterable[str]) -> dict[str, Any]:
    """`name=value` as facts; of one name several times all values."""
    from easyrec.retrieval.filters import fact_in  # noqa: PLC0415 (help must not wait for it)

    found: dict[str, Any] = {}
    for name, text in pairs(list(given)):
        found.setdefault(name, []).append(fact_in(text))
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def where(hit: Hit) -> str:
    """Where a chunk stands, as people say it."""
    chunk = hit.part.chunk
    pages = sorted({place.page for place in chunk.places if place.page is not None})
    lines = [place.line for place in chunk.places if place.line is not None]
    told = [hit.part.source]
    if pages:
        told.append(f"page {pages[0]}" if len(pages) == 1 else f"pages {pages[0]}-{pages[-1]}")
    elif lines:
        told.append(f"line {min(lines)}")
    return ", ".join(told) + (f" ({' > '.join(chunk.path)})" if chunk.path else "")
