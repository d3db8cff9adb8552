"""Ask a language model which categories go together, as pairs of ids and a recall table.

easyrec llm pair -c llm.yaml
easyrec llm pair -c llm.yaml --limit 20
easyrec llm pair -c llm.yaml --evaluate purchases.parquet
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from easyrec.commands._llm import add_config, bar, config_of, tell_asked, tell_vectors
from easyrec.commands._print import console, count, line, table
from easyrec.errors import ConfigError

if TYPE_CHECKING:
    from easyrec.llm.tools._pair.lift import Lift
    from easyrec.llm.tools.pair import Config, Pairing

MAPPED = ("exact", "folded", "path", "scored")
WHY = {"unknown": "mean none", "ambiguous": "may mean several", "empty": "empty", "long": "too long"}
SHOWN = 5


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec llm pair`."""
    add_config(parser)
    parser.add_argument("--limit", type=int, metavar="N", help="ask about the first N categories alone")
    parser.add_argument(
        "--evaluate",
        nargs="?",
        const="",
        metavar="FILE",
        help="measure pairs by what users bought; default: by `events` of the section",
    )


def run(args: argparse.Namespace) -> None:
    """Ask, write and tell."""
    config, own = config_of(args, "pair")
    if args.limit is not None:
        own = own.model_copy(update={"limit": args.limit})
    if args.evaluate is not None:
        own = _evaluated(own, args.evaluate)
    from easyrec.llm.tools.pair import pair  # noqa: PLC0415 (help must not wait for it)

    with bar(None, "categories") as progress:
        done = pair(config, own, evaluate=args.evaluate is not None, progress=progress)
    endpoint = config.asked()
    _tell(own, done, endpoint.model, priced=endpoint.price is not None)


def _evaluated(own: Config, path: str) -> Config:
    """The section with the events that pairs are measured by."""
    from easyrec.llm.tools.pair import Events  # noqa: PLC0415 (help must not wait for it)

    if own.items is None:
        raise ConfigError("--evaluate: needs section 'pair.items': it says which category an item is of")
    if not path:
        return own
    named = Events(path=path) if own.events is None else own.events.model_copy(update={"path": path})
    return own.model_copy(update={"events": named})


def _tell(own: Config, done: Pairing, model: str, *, priced: bool) -> None:
    tell_asked({kind: (model, one) for kind, one in done.asked.items()}, priced=priced)
    tell_vectors(done.report)
    named = table("names that the model gave", "", "names", right=1)
    for how in MAPPED:
        named.add_row(f"mapped ({how})", count(done.names.get(how, 0)))
    for how, why in WHY.items():
        if done.names.get(how):
            named.add_row(f"rejected: {why}", count(done.names[how]))
    for why, number in (("the category itself", done.own), ("said twice", done.twice), ("weak", done.weak)):
        if number:
            named.add_row(f"dropped: {why}", count(number))
    console().print(named)
    if done.rejected:
        line("rejected most: " + ", ".join(f"{name!r} ({times})" for name, times in done.rejected[:SHOWN]))
    line(f"{count(done.pairs)} pairs of {count(done.categories)} categories: {own.output}")
    if own.recall is not None and done.rows is not None:
        line(f"{count(done.rows)} rows of neighbours: {own.recall.output}")
    if done.lift is not None:
        _tell_lift(done.lift)


def _tell_lift(lift: Lift) -> None:
    title = f"next purchases in a paired category: {count(lift.purchases)} of {count(lift.users)} users"
    shown = table(title, "pairs", "share", "95 %", "categories", "the model's have more by", "95 %", right=1)
    for name, one in lift.shares.items():
        more = lift.differences.get(name)
        gain = ("", "") if more is None else (f"{more.mean:+.4f}", f"{more.low:+.4f} to {more.high:+.4f}")
        shown.add_row(name, f"{one.mean:.4f}", f"{one.low:.4f} to {one.high:.4f}", f"{lift.reach[name]:.1f}", *gain)
    console().print(shown)
