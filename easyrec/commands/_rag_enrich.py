"""Let a model say more of documents, so that they are found better: questions, summaries, entities, trees of summaries.

easyrec rag enrich -c rag.yaml --dry
easyrec rag enrich -c rag.yaml
easyrec rag enrich -c rag.yaml --kinds question tree --limit 100
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from easyrec.commands._print import PlainTable, console, count, line, table
from easyrec.commands._rag import add_config, config_of
from easyrec.errors import ConfigError

if TYPE_CHECKING:
    from easyrec.llm.client import Client, Endpoint, Price
    from rag.config import RagConfig
    from rag.knowledge import KnowledgeBase

TREE = "tree"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec rag enrich`."""
    add_config(parser, base=True)
    parser.add_argument(
        "--kinds", nargs="+", metavar="KIND", help="of those of the config, these; or others as by default"
    )
    parser.add_argument("--dry", action="store_true", help="tell what it would cost at most, and ask nobody")
    parser.add_argument("--limit", type=int, metavar="N", help="chunks that are asked about, of each kind")
    parser.add_argument(
        "--again", action="store_true", help="make what is there of these kinds anew; it stays until what is new comes"
    )


def run(args: argparse.Namespace) -> int:
    """Ask, and tell what came of it; 1 where the budget ended before its time, or nothing came of it."""
    from easyrec.llm.client import Client  # noqa: PLC0415 (help must not wait for it)
    from rag.knowledge import KnowledgeBase  # noqa: PLC0415

    config = config_of(args)
    if args.limit is not None and args.limit < 1:
        raise ConfigError(f"--limit: must be at least 1, but is {args.limit}")
    kinds = _kinds(args, config)
    endpoint = config.enrichment.llm or config.llm
    if endpoint is None and not args.dry:
        raise ConfigError(f"{args.config}: 'llm' is missing: it says which model is asked")
    with KnowledgeBase(config.knowledge) as base:
        if args.dry:
            _tell_plan(args, base, kinds, endpoint)
            return 0
        assert endpoint is not None
        if args.again:
            for name in kinds:
                if name != TREE:
                    base.renew(name)
        with Client(endpoint) as client:
            return _ask(args, base, client, kinds)


def _kinds(args: argparse.Namespace, config: RagConfig) -> dict[str, Any]:
    """What is asked, by name.

    Raises:
        ConfigError: A kind is not known, or there is none.
    """
    from easyrec.errors import nearest  # noqa: PLC0415 (help must not wait for it)
    from feature_generator.config import member, members  # noqa: PLC0415
    from rag.enrichment.config import FAMILY, TreeConfig  # noqa: PLC0415

    own = {one.type: one for one in config.enrichment.kinds}
    if config.enrichment.tree is not None:
        own[TREE] = config.enrichment.tree
    if args.kinds is None:
        if not own:
            raise ConfigError(f"{args.config}: 'enrichment' names no kinds; write some there, or --kinds question")
        return own
    found: dict[str, Any] = {}
    for name in args.kinds:
        known = [*members(FAMILY), TREE]
        if name not in known:
            raise ConfigError(f"--kinds: unknown kind '{name}'{nearest(name, known)}; known: {', '.join(known)}")
        found[name] = own.get(name) or (TreeConfig() if name == TREE else member(FAMILY, name).Config())
    return found


def _ask(args: argparse.Namespace, base: KnowledgeBase, client: Client, kinds: dict[str, Any]) -> int:
    """Make what is missing of each kind."""
    from rag.enrichment.enrich import enrich  # noqa: PLC0415 (help must not wait for it)
    from rag.enrichment.tree import Grower  # noqa: PLC0415

    shown = table(base.config.path, "kind", "asked about", "texts", "too short", "failed", right=1)
    stopped, texts, failed = "", 0, 0
    for name, config in kinds.items():
        if name == TREE:
            grown = Grower(base, config, again=args.again).grow(client, _progress(name))
            shown.add_row(
                name, count(grown.made + grown.failed), count(grown.made), "", _failed(grown.failed, grown.reasons)
            )
            stopped, texts, failed = grown.stopped, texts + grown.made, failed + grown.failed
        else:
            done = enrich(base, client, config, limit=args.limit, progress=_progress(name))
            told = map(count, (done.chunks, done.texts, done.short))
            shown.add_row(name, *told, _failed(done.failed, done.reasons))
            stopped, texts, failed = done.stopped, texts + done.texts, failed + done.failed
        if stopped:
            break
    console().print(shown)
    spent, cost = client.ledger.spent, client.ledger.cost()
    tokens = f"{count(spent.input)} tokens in, {count(spent.output)} out"
    line(f"{count(spent.calls)} calls, {count(spent.hits)} from the cache, {tokens}" + _money(cost))
    if stopped:
        print(f"stopped: {stopped}; what was made is kept, the next run goes on", file=sys.stderr)
    if failed and not texts:
        print("the model said nothing that can be used", file=sys.stderr)
    return 1 if stopped or (failed and not texts) else 0


def _failed(number: int, reasons: Mapping[str, int]) -> str:
    """How many failed, and why."""
    why = ", ".join(f"{times} {reason}" for reason, times in sorted(reasons.items()))
    return f"{count(number)} ({why})" if why else count(number)


def _tell_plan(args: argparse.Namespace, base: KnowledgeBase, kinds: dict[str, Any], endpoint: Endpoint | None) -> None:
    """What it would cost."""
    from rag.enrichment.enrich import plan  # noqa: PLC0415 (help must not wait for it)
    from rag.enrichment.tree import Grower  # noqa: PLC0415

    price = None if endpoint is None else endpoint.price
    shown = table(f"{base.config.path}: nothing is asked", "kind", "calls", "tokens in", "tokens out", "cost", right=1)
    totals = [0, 0, 0]
    for name, config in kinds.items():
        found = (
            Grower(base, config, again=args.again).plan()
            if name == TREE
            else plan(base, config, args.limit, again=args.again)
        )
        numbers = (found.waiting, *found.tokens)
        totals = [a + b for a, b in zip(totals, numbers, strict=True)]
        _add(shown, name, numbers, price)
    if len(kinds) > 1:
        _add(shown, "all", totals, price)
    console().print(shown)
    line("tokens are about; of answers as many as they may have" + ("" if price else "; 'llm.price' would tell money"))


def _add(shown: PlainTable, name: str, numbers: Any, price: Price | None) -> None:
    from easyrec.llm.client import Usage  # noqa: PLC0415 (help must not wait for it)

    calls, sent, received = numbers
    cost = Usage(calls, sent, received).cost(price)
    shown.add_row(name, count(calls), count(sent), count(received), f"{cost:.4f}" if price else "")


def _money(cost: float) -> str:
    return f", {cost:.4f} money" if cost else ""


def _progress(name: str) -> Any:
    """What is being done, on a terminal."""
    if not sys.stderr.isatty():
        return None
    return lambda done: sys.stderr.write(f"\r{name}: {done}   ")
