"""Make one list in this process, and print it.

easyrec engine recommend -c engine.yaml --user 4711
easyrec engine recommend -c engine.yaml --user 4711 --scene cart --context '{hour: 9}' --json
"""

from __future__ import annotations

import argparse
import json

from easyrec.commands._engine import add_engine, add_question, asked, engine_config, opened, parameters_of
from easyrec.commands._print import console, line, table


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec engine recommend`."""
    add_engine(parser)
    add_question(parser)
    parser.add_argument("--json", action="store_true", help="the answer as `/recommend` gives it")


def run(args: argparse.Namespace) -> None:
    """Ask, and print the list."""
    from dataclasses import replace  # noqa: PLC0415 (help must not wait for it)

    from serving.engine.posted import question_of  # noqa: PLC0415 (an extra)

    question = replace(question_of(asked(args)), parameters=parameters_of(args))
    with opened(engine_config(args)) as service:
        listed = service.engine.recommend(question)
        answer = listed.answer()
    if args.json:
        line(json.dumps(answer, ensure_ascii=False, default=str))
        return
    shown = table(
        f"scene '{answer['scene']}', user {question.user_id}", "#", "item", "score", "from", "why", right=2, numbers=1
    )
    for item in answer["items"]:
        told = (item["position"], item["item_id"], f"{item['score']:.4f}", ", ".join(item["sources"]), item["reason"])
        shown.add_row(*map(str, told))
    console().print(shown)
    for told in answer["degraded"]:
        line(f"left out: {told}")
