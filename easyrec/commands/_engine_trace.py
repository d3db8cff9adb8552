"""Tell how a list came about: who recalled each candidate, its scores by stage, why it was left out, what would be.

easyrec engine trace -c engine.yaml --user 4711
easyrec engine trace -c engine.yaml --user 4711 --with rank.score=ctr recall.ann.count=100
easyrec engine trace -c engine.yaml --user 4711 --item 3695
easyrec engine trace -c engine.yaml --user 4711 --html trace.html
EASYREC_TOKEN=... easyrec engine trace --url http://127.0.0.1:8020 --user 4711
"""

from __future__ import annotations

import argparse
import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from easyrec.commands._engine import add_question, asked, engine_config, opened, parameters_of
from easyrec.commands._options import add_overrides, add_plugin
from easyrec.commands._print import console, line, table
from easyrec.durable import write_text
from easyrec.errors import ConfigError, RunError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec engine trace`."""
    parser.add_argument("-c", "--config", metavar="FILE", help="the engine's YAML: it runs in this process")
    parser.add_argument(
        "--url",
        metavar="URL",
        help="instead, a running engine, which knows what users did; an admin's token in EASYREC_TOKEN",
    )
    add_overrides(parser)
    add_plugin(parser)
    add_question(parser)
    parser.add_argument(
        "--item", action="append", default=[], metavar="ID", help="only these, in full, also why they are no candidates"
    )
    parser.add_argument("--most", type=int, default=40, metavar="N", help="how many candidates are told of [40]")
    parser.add_argument("--html", metavar="FILE", help="a page to look at, instead of a table")
    parser.add_argument("--json", action="store_true", help="all of it as JSON")


def run(args: argparse.Namespace) -> int:
    """Ask, and print each candidate's way; 1 where an item that was named is not in the catalogue."""
    if (args.config is None) == (args.url is None):
        raise ConfigError("easyrec engine trace takes either -c engine.yaml or --url of a running engine")
    most = 2000 if args.html else args.most
    told = _asked_of(args, most) if args.url is not None else _here(args, most)
    if args.html:
        from serving.engine.page import trace_page  # noqa: PLC0415 (help must not wait for it)

        write_text(Path(args.html), trace_page(told))
        line(f"wrote {args.html}")
    elif args.json or args.item:
        line(json.dumps(told if args.json else told["items"], ensure_ascii=False, indent=2, default=str))
    else:
        _print(told)
    return int(any(item["ended"] == "not in the catalogue" for item in told["items"]))


def _here(args: argparse.Namespace, most: int) -> dict[str, Any]:
    from dataclasses import replace  # noqa: PLC0415 (help must not wait for it)

    from serving.engine.posted import question_of  # noqa: PLC0415 (an extra)
    from serving.engine.trace import Trace  # noqa: PLC0415 (an extra)

    question = replace(question_of(asked(args)), parameters=parameters_of(args))
    trace = Trace()
    with opened(engine_config(args)) as service:
        service.engine.recommend(question, trace)
        return trace.told(most, args.item)


def _asked_of(args: argparse.Namespace, most: int) -> dict[str, Any]:
    """What a running engine tells."""
    if not args.url.startswith(("http://", "https://")):
        raise ConfigError(f"--url must begin with http:// or https://, but is '{args.url}'")
    body = json.dumps({**asked(args), "parameters": parameters_of(args), "most": most, "items": args.item}).encode()
    token = os.environ.get("EASYREC_TOKEN", "")
    headers = {"content-type": "application/json", **({"authorization": f"Bearer {token}"} if token else {})}
    request = urllib.request.Request(f"{args.url.rstrip('/')}/trace", body, headers)  # noqa: S310 (checked above)
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: S310 (checked above)
            found: dict[str, Any] = json.loads(reply.read())
    except urllib.error.HTTPError as error:
        try:
            with error:
                why = json.loads(error.read()).get("error", "")
        except ValueError:
            why = ""
        raise RunError(f"{args.url}: {why or error.reason}") from None
    except OSError as error:
        raise RunError(f"{args.url}: {getattr(error, 'reason', error)}") from None
    return found


def _print(told: dict[str, Any]) -> None:
    title = (
        f"scene '{told['scene']}', user {told['user_id']}: {len(told['items'])} of {told['candidates']:,} candidates"
    )
    stages = told["stages"]
    shown = table(title, "#", "item", "from", "what became of it", *stages, right=4)
    for item in told["items"]:
        cells = []
        for stage in stages:
            at = item["stages"].get(stage)
            score = "" if at is None or at.get("score") is None else f" ({at['score']:.3g})"
            cells.append("" if at is None else f"{at['rank'] + 1}{score}")
        sources = ", ".join(f"{one['source']} {one['rank'] + 1}" for one in item["sources"])
        became = item["reason"] if item["position"] is not None else item["ended"]
        shown.add_row(
            "" if item["position"] is None else str(item["position"]), str(item["item_id"]), sources, became, *cells
        )
    console().print(shown)
    for layer, variant in told["experiments"].items():
        line(f"experiment {layer}: {variant}")
    for one in told["degraded"]:
        line(f"left out: {one}")
