"""Let a model write questions with their answers out of documents, to measure by.

easyrec rag qagen -c rag.yaml --output qa.jsonl
easyrec rag qagen -c rag.yaml --output qa.jsonl --kinds single=100 multi_hop=20 dialogue=20 unanswerable=20
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from easyrec.commands._options import pairs
from easyrec.commands._print import console, count, line, table
from easyrec.commands._rag import add_config, check_output, config_of, tell_empty
from easyrec.errors import ConfigError, DataError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec rag qagen`."""
    add_config(parser, base=True)
    parser.add_argument("--output", required=True, metavar="FILE", help="where the questions go, as JSON lines")
    parser.add_argument("--kinds", nargs="+", default=[], metavar="KIND=COUNT", help="how many of which kind")
    parser.add_argument("--seed", type=int, help="which chunks are tried [evaluation.seed]")


def run(args: argparse.Namespace) -> int:
    """Write questions, and tell what came of them; 1 where the budget, or the model, ended before its time.

    Raises:
        DataError: No question could be kept.
    """
    from easyrec.llm.client import Client  # noqa: PLC0415 (help must not wait for it)
    from rag.evaluation.generate import generate, generators  # noqa: PLC0415
    from rag.evaluation.questions import write_questions  # noqa: PLC0415
    from rag.knowledge import KnowledgeBase  # noqa: PLC0415

    config = config_of(args)
    check_output(args.output)
    own = config.evaluation
    wanted = generators(_counts(args.kinds)) if args.kinds else own.generators()
    writer = own.writer or config.llm
    if writer is None:
        raise ConfigError(f"{args.config}: 'llm' is missing: it says which model writes")
    with KnowledgeBase(config.knowledge) as base, Client(writer) as client:
        tell_empty(base)
        made = generate(base, client, wanted, seed=own.seed if args.seed is None else args.seed, progress=_progress())
        spent, cost = client.ledger.spent, client.ledger.cost()
    shown = table(args.output, "kind", "wanted", "asked", "kept", "rejected", right=1, numbers=3)
    for kind, told in made.kinds.items():
        reasons = ", ".join(f"{number} {reason.replace('_', ' ')}" for reason, number in told.rejected.most_common())
        shown.add_row(kind, count(told.wanted), count(told.asked), count(told.kept), reasons)
    console().print(shown)
    line(
        f"{count(spent.calls)} calls, {count(spent.hits)} from the cache, {count(spent.input)} tokens in, "
        f"{count(spent.output)} out" + (f", {cost:.4f} money" if cost else "")
    )
    if not made.questions:
        raise DataError(f"no question could be kept{f': {made.stopped}' if made.stopped else ''}")
    write_questions(args.output, made.questions)
    if made.stopped:
        print(f"{args.output}: {len(made.questions)} questions; then {made.stopped}", file=sys.stderr)
    return 1 if made.stopped else 0


def _counts(given: list[str]) -> dict[str, int]:
    """`kind=count` as numbers.

    Raises:
        ConfigError: It is none.
    """
    found = {}
    for name, text in pairs(given):
        if not text.isdecimal() or not text.isascii():
            raise ConfigError(f"--kinds {name}={text}: write a whole number")
        found[name] = int(text)
    return found


def _progress() -> Callable[[str, int], object] | None:
    """What is being done, on a terminal."""
    if not sys.stderr.isatty():
        return None
    return lambda kind, kept: sys.stderr.write(f"\r{kind}: {kept} questions   ")
