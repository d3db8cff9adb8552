"""What the tools of `easyrec rag` share."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from easyrec.commands._options import add_overrides, pairs

if TYPE_CHECKING:
    from rag.config import RagConfig
    from rag.knowledge import Hit


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


def facts_in(given: Iterable[str]) -> dict[str, Any]:
    """`name=value` as facts; of one name several times all values."""
    found: dict[str, Any] = {}
    for name, text in pairs(list(given)):
        found.setdefault(name, []).append(_value(text))
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _value(text: str) -> Any:
    """A number or a truth value, where a text is one."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:  # noqa: PERF203 (two at most)
            continue
    return text


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
