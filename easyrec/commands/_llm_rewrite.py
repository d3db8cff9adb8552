"""Write other words for what people search, so that advertisements are found for it: ahead, one at a time, or as a server.

easyrec llm rewrite -c llm.yaml
easyrec llm rewrite -c llm.yaml --query "red running shoes" --category shoes
easyrec llm rewrite -c llm.yaml --evaluate
easyrec llm rewrite -c llm.yaml --serve
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from easyrec.commands._llm import add_config, bar, config_of, tell_asked, tell_vectors
from easyrec.commands._print import console, count, line, table
from easyrec.errors import ConfigError

if TYPE_CHECKING:
    from easyrec.llm.config import LlmConfig
    from easyrec.llm.rewriting.quality import Quality


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec llm rewrite`."""
    add_config(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--query", metavar="TEXT", help="rewrite this query alone, and tell what became of each rewrite")
    what.add_argument("--evaluate", action="store_true", help="tell how good the rewrites are that were written")
    what.add_argument("--serve", action="store_true", help="answer over HTTP until SIGTERM or Ctrl+C")
    parser.add_argument("--category", help="of --query")
    parser.add_argument("--brand", help="of --query")
    parser.add_argument("--limit", type=int, metavar="N", help="the N most frequent queries alone")
    parser.add_argument("--host", help="where it listens, in the place of `rewrite.serve.host`")
    parser.add_argument("--port", type=int, help="and at which port; 0 takes a free one")


def run(args: argparse.Namespace) -> None:
    """Rewrite."""
    given = {"--limit": args.limit is not None and (args.query or args.evaluate or args.serve)}
    given |= {f"--{name}": getattr(args, name) is not None and args.query is None for name in ("category", "brand")}
    given |= {f"--{name}": getattr(args, name) is not None and not args.serve for name in ("host", "port")}
    for name, is_wrong in given.items():
        if is_wrong:
            raise ConfigError(f"{name}: has no meaning here")
    if args.query is not None and not args.query.strip():
        raise ConfigError("--query: is empty")
    args.override = [
        *args.override,
        *(f"rewrite.serve.{name}={value}" for name in ("host", "port") if (value := getattr(args, name)) is not None),
    ]
    config, own = config_of(args, "rewrite")
    if args.query is not None:
        _one(config, own, args)
    elif args.evaluate:
        _evaluate(config, own)
    elif args.serve:
        from serving.rewriting.run import serve_rewrites  # noqa: PLC0415 (help must not wait for it)

        serve_rewrites(config, own)
    else:
        _ahead(config, own, args)


def _ahead(config: LlmConfig, own: Any, args: argparse.Namespace) -> None:
    """Rewrite the head."""
    from easyrec.llm.rewriting.files import rejected_path  # noqa: PLC0415 (help must not wait for it)
    from easyrec.llm.tools.rewrite import rewrite  # noqa: PLC0415

    with bar(args.limit or own.head, "queries") as progress:
        done = rewrite(config, own, limit=args.limit, progress=progress)
    told = table(
        f"{own.output}: {count(len(done.made))} queries, {done.traffic:.1%} of all searches", "what", "count", right=1
    )
    told.add_row("queries with a rewrite", count(done.covered))
    told.add_row("rewrites", count(done.kept))
    for reason, times in done.rejected.most_common():
        told.add_row(f"rejected: {reason}", count(times))
    console().print(told)
    model = config.asked()
    tell_asked({"rewrites": (model.model, done.asked)}, priced=model.price is not None)
    tell_vectors(done.report)
    line(f"written to {done.output}; those that were not taken to {rejected_path(Path(own.output))}")


def _one(config: LlmConfig, own: Any, args: argparse.Namespace) -> None:
    """Rewrite a query."""
    from easyrec.llm.client import Client  # noqa: PLC0415 (help must not wait for it)
    from easyrec.llm.rewriting.maker import Maker, endpoint_of  # noqa: PLC0415
    from easyrec.llm.rewriting.rewrites import Ask  # noqa: PLC0415

    with Maker(config, own) as maker, Client(endpoint_of(config.asked(), own)) as client:
        ask = Ask(args.query, args.category, args.brand)
        (prepared,) = maker.prepare([ask], maker.vectors([ask.query]))
        said = client.structured(maker.talk(prepared), maker.schema, temperature=own.temperature)
        (made,) = maker.sorted([prepared], [said.value])
    told = table(
        f"{args.query} [{prepared.ask.category or 'category not known'}]",
        "rewrite",
        "bid word",
        "cosine",
        "score",
        right=2,
    )
    for one in made.kept:
        told.add_row(one.text, _bid(one.bid_word, one.match), _cosine(one.similarity), f"{one.score:.3f}")
    for left in made.rejected:
        told.add_row(left.text, _bid(left.bid_word, left.match), _cosine(left.similarity), left.reason)
    console().print(told)


def _bid(word: str | None, match: str | None) -> str:
    return "" if word is None else f"{word} ({match})"


def _cosine(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _evaluate(config: LlmConfig, own: Any) -> None:
    """Tell how good the written rewrites are."""
    from easyrec.llm.rewriting.files import read  # noqa: PLC0415 (help must not wait for it)
    from easyrec.llm.rewriting.forms import Forms  # noqa: PLC0415
    from easyrec.llm.rewriting.maker import vectors_of  # noqa: PLC0415
    from easyrec.llm.rewriting.quality import measured  # noqa: PLC0415

    made = read(Path(own.output))
    with vectors_of(config, own) as vectors:
        _tell(own.output, measured(made, Forms(own.language), vectors))


def _tell(name: str, found: Quality) -> None:
    from easyrec.llm.rewriting.quality import TOLD  # noqa: PLC0415 (help must not wait for it)

    shown = table(f"{name}: {count(found.queries)} queries", "what", "mean", "95 %", "queries", right=1)
    for key, text in TOLD.items():
        mean = found.means[key]
        if mean.count:
            shown.add_row(text, f"{mean.mean:.4f}", f"{mean.low:.4f} to {mean.high:.4f}", count(mean.count))
    console().print(shown)
    line(f"{found.traffic:.1%} of the searches of these queries have a rewrite")
