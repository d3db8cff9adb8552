"""Let a language model put candidates in order, and compare it with the ranker, chance and popularity.

easyrec llm rerank -c llm.yaml
easyrec llm rerank -c llm.yaml --limit 50
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from easyrec.commands._llm import add_config, bar, config_of, tell_asked
from easyrec.commands._print import console, count, line, table

if TYPE_CHECKING:
    from easyrec.llm.tools.rerank import Reranked


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec llm rerank`."""
    add_config(parser)
    parser.add_argument("--limit", type=int, metavar="N", help="N requests alone, which are drawn")


def run(args: argparse.Namespace) -> None:
    """Ask, write and tell."""
    config, own = config_of(args, "rerank")
    if args.limit is not None:
        own = own.model_copy(update={"candidates": own.candidates.model_copy(update={"limit": args.limit})})
    from easyrec.llm.tools.rerank import rerank  # noqa: PLC0415 (help must not wait for it)

    endpoint = config.asked()
    with bar(None, "questions") as progress:
        done = rerank(config, own, progress=progress)
    tell_asked({own.how.type: (endpoint.model, done.asked)}, priced=endpoint.price is not None)
    _tell(done, priced=endpoint.price is not None)
    if own.candidates.label is not None and done.measures is None:
        line("in no request something was taken: there is nothing to compare")


def _tell(done: Reranked, *, priced: bool) -> None:
    sent, received = done.tokens
    cost = f", cost {done.cost:.4g}" if priced else ""
    line(f"{count(done.requests)} requests; of each {sent:,.0f} tokens were sent and {received:,.0f} came back{cost}")
    odd = [(done.missing, "not named"), (done.doubled, "named twice"), (done.unknown, "unknown numbers")]
    line("; ".join(f"{count(number)} {what}" for number, what in odd))
    if done.kept:
        line(f"{count(done.kept)} requests have no answer, and the ranker's order")
    if done.measures is not None and done.differences is not None:
        shown = table("Orders", "system", "measure", "mean", "interval", "model has more by", "interval", "p", right=2)
        for system, own in done.measures.items():
            for key, one in own.items():
                more = done.differences.get(system, {}).get(key)
                gain = (
                    ("", "", "") if more is None else (f"{more['mean']:+.4f}", _span(more, "+.4f"), f"{more['p']:.3g}")
                )
                shown.add_row(system, key, f"{one['mean']:.4f}", _span(one, ".4f"), *gain)
        console().print(shown)
    if done.bias:
        names = {
            "place": "place in the prompt and in the answer (correlation)",
            "first": "shown first and put first",
            "turned": "turned with the order",
            "firsts": "won because it stood first (0.5: places move nothing)",
        }
        shown = table("What places do", "", "mean", "interval", right=1)
        for key, name in names.items():
            if key in done.bias:
                shown.add_row(name, f"{done.bias[key]['mean']:.3f}", _span(done.bias[key], ".3f"))
        if "first_by_chance" in done.bias:
            shown.add_row("the same by chance", f"{done.bias['first_by_chance']:.3f}", "")
        console().print(shown)
    line(f"orders: {done.output}")


def _span(one: dict[str, Any], form: str) -> str:
    return f"{one['low']:{form}} to {one['high']:{form}}"
