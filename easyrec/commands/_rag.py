"""What the tools of `easyrec rag` share."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from easyrec.commands._options import add_overrides, pairs
from easyrec.errors import ConfigError

if TYPE_CHECKING:
    from rag.config import RagConfig
    from rag.knowledge import Hit, KnowledgeBase
    from rag.pipeline.trace import Trace


def add_config(parser: argparse.ArgumentParser, *, base: bool = False) -> None:
    """Add `-c` and `-o`, and `--base` where a knowledge base of a server will do."""
    parser.add_argument("-c", "--config", required=True, metavar="FILE", help="the YAML of the knowledge base")
    add_overrides(parser)
    if base:
        parser.add_argument("--base", metavar="NAME", help="one of those in `server.root`, by its name")


def config_of(args: argparse.Namespace) -> RagConfig:
    """What the YAML says, of the knowledge base that is meant.

    Raises:
        ConfigError: Everything wrong with it, with lines; or there is no such knowledge base.
    """
    k = getattr(args, "k", None)
    config = config_in(args, args.config, args.override if k is None else [*args.override, f"search.k={k}"])
    if k is not None and config.search.k != k:  # the knowledge base has another one
        config = config.model_copy(update={"search": config.search.model_copy(update={"k": k})})
    return config


def config_in(args: argparse.Namespace, path: str, overrides: list[str] | None = None) -> RagConfig:
    """What some YAML says, of the knowledge base that is meant.

    Raises:
        ConfigError: Everything wrong with it, with lines; or there is no such knowledge base.
    """
    from rag.config import load_rag  # noqa: PLC0415 (help must not wait for it)

    config = load_rag(path, overrides)
    if not hasattr(args, "base"):
        return config
    if args.base is None:  # what only reads makes no folder where a path is wrong
        if not (Path(config.knowledge.path) / "records.db").exists():
            raise ConfigError(f"{config.knowledge.path}: there is no knowledge base; `easyrec rag ingest` makes one")
        return config
    from rag.server.named import named  # noqa: PLC0415 (help must not wait for it)

    return named(config, args.base)


def check_output(*paths: str | None) -> None:
    """Look whether files can be written where they are wanted, before what goes into them is paid for.

    Raises:
        ConfigError: One cannot.
    """
    for path in map(Path, filter(None, paths)):
        if path.is_dir():
            raise ConfigError(f"{path}: is a folder, and no file can be written in its place")
        if not path.parent.is_dir():
            raise ConfigError(f"{path}: there is no folder {path.parent}")


def add_search(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the question, and what narrows a search for it."""
    parser.add_argument("query", nargs="?", metavar="QUESTION", help=what)
    parser.add_argument("--filter", nargs="+", default=[], metavar="NAME=VALUE", help="what must hold of what is found")
    parser.add_argument("-k", type=int, help="how many chunks are wanted")


def tell_empty(base: KnowledgeBase) -> None:
    """Say on the error stream that a knowledge base has no documents, which its path may be wrong for."""
    if not base.records.count()[0]:
        sys.stderr.write(f"{base.config.path}: holds no documents; `easyrec rag ingest` adds some\n")


def question_of(args: argparse.Namespace) -> str:
    """The question.

    Raises:
        ConfigError: There is none.
    """
    if args.query is None:
        raise ConfigError(
            "QUESTION is missing: it stands before -o, --filter and --image, which take what follows them"
        )
    return str(args.query)


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


def facts_in(given: Iterable[str], option: str) -> dict[str, Any]:
    """`name=value` as facts; of one name several times all values.

    Raises:
        ConfigError: Something is none.
    """
    from easyrec.retrieval.filters import fact_in  # noqa: PLC0415 (help must not wait for it)

    found: dict[str, Any] = {}
    words = list(given)
    wrong = [word for word in words if not word.partition("=")[0] or "=" not in word]
    if wrong:
        raise ConfigError(f"{option}: '{wrong[0]}' is not NAME=VALUE; what is none stands before {option}")
    for name, text in pairs(words):
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
