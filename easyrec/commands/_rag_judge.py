"""See how far a judge agrees with people, before its numbers are relied on.

easyrec rag judge -c rag.yaml --labelled judged.jsonl
"""

from __future__ import annotations

import argparse
import json
import math

from easyrec.commands._print import console, count, line, table
from easyrec.commands._rag import add_config, config_of
from easyrec.errors import ConfigError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec rag judge`."""
    add_config(parser)
    parser.add_argument("--labelled", required=True, metavar="FILE", help="JSON lines: answers with what people found")
    parser.add_argument("--json", action="store_true", help="print it as one JSON object")


def run(args: argparse.Namespace) -> None:
    """Let the judge judge, and tell how far it agrees."""
    from easyrec.llm.asking import finite  # noqa: PLC0415 (help must not wait for it)
    from easyrec.llm.client import Client  # noqa: PLC0415
    from easyrec.llm.judging import Judge  # noqa: PLC0415
    from rag.evaluation.labelled import NEAR, agreement, read_labelled  # noqa: PLC0415

    config = config_of(args)
    own = config.evaluation
    endpoint = own.judge or config.llm
    if endpoint is None:
        raise ConfigError(f"{args.config}: 'evaluation.judge' is missing: it says which model judges")
    lines = read_labelled(args.labelled)
    with Client(endpoint) as client:
        judge = Judge(client, own.votes, own.vote_temperature, own.seed)
        found = agreement(lines, judge, level=own.level, seed=own.seed)
    if args.json:
        told = [{**vars(one), "near": vars(one.near), "states": dict(one.states)} for one in found]
        line(json.dumps(finite(told)))
        return
    head = (
        "metric",
        "judged",
        f"within {NEAR:g}",
        f"{own.level:.0%}",
        "distance",
        "milder by",
        "correlation",
        "not judged",
    )
    shown = table(
        f"{args.labelled}: {count(len(lines))} answers, judged by {endpoint.model}", *head, right=1, numbers=6
    )
    for one in found:
        left = ", ".join(f"{number} {state}" for state, number in one.states.items() if state != "measured")
        numbers = (one.near.mean, one.distance, one.bias, one.correlation)
        near, distance, bias, together = ("" if math.isnan(value) else f"{value:.3f}" for value in numbers)
        span = f"{one.near.low:.3f} .. {one.near.high:.3f}" if one.near.count else ""
        shown.add_row(one.name, count(one.near.count), near, span, distance, bias, together, left)
    console().print(shown)
