"""Count the events of stream views, and write their rows for requests to read.

easyrec stream run -c store.yaml user_clicks item_sales --metrics 127.0.0.1:9400
easyrec stream run -c store.yaml user_clicks --until end

SIGTERM and Ctrl-C end it after the batch that is being counted, and after the rows that wait. What was killed goes on where
it was: each event counts once.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from easyrec.commands._print import console, count, log, table
from easyrec.commands._stop import told_to_stop
from easyrec.commands._store import add_definitions, definitions, opened, view_of
from easyrec.errors import ConfigError

if TYPE_CHECKING:
    from easyrec.store.definitions import StoreConfig
    from easyrec.stream.runner import Runner

SHOWN = (
    "read",
    "counted",
    "filtered",
    "late",
    "ahead",
    "duplicate",
    "malformed",
    "rows_written",
    "rows_dropped",
    "rows_failed",
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec stream run`."""
    add_definitions(parser)
    parser.add_argument("views", metavar="VIEW", nargs="*", help="stream views; default: all that say what they count")
    parser.add_argument("--until", choices=["end"], help="end where the events end now; default: go on for ever")
    parser.add_argument("--state", default=".", metavar="FOLDER", help="where states lie, unless the views say [.]")
    parser.add_argument("--metrics", metavar="HOST:PORT", help="answer /metrics (Prometheus) and /metrics.json there")
    parser.add_argument(
        "--every", type=float, default=10.0, metavar="SECONDS", help="how often to tell how far it is [10]"
    )
    parser.add_argument("--json", action="store_true", help="tell in the end as JSON")


def run(args: argparse.Namespace) -> None:
    """Count until the events end, or until it is told to stop."""
    from easyrec.stream.figures import FiguresServer  # noqa: PLC0415 (help must not wait for it)
    from easyrec.stream.runner import Runner  # noqa: PLC0415 (help must not wait for it)

    log()
    config = definitions(args)
    views = [view_of(config, name, args.config) for name in args.views]
    for view in views:
        if view.stream is None:
            told = f"view '{view.name}' says not what it counts: give it a section `stream`"
            raise ConfigError(f"{told}; those that do: {', '.join(_streams(config, args.config))}", args.config)
    names = [view.name for view in views] or _streams(config, args.config)
    with ExitStack() as held:
        store = held.enter_context(opened(config))
        stop = held.enter_context(told_to_stop())
        runners: dict[str, Runner] = {}
        for name in names:
            runners[name] = Runner(config, name, store, until_end=args.until == "end", folder=Path(args.state))
            held.callback(runners[name].close)
        if args.metrics is not None:
            host, port = _place(args.metrics)
            server = FiguresServer(host, port, lambda: {name: one.figures() for name, one in runners.items()})
            held.callback(server.close)
            print(f"metrics at http://{host}:{server.port}/metrics", file=sys.stderr, flush=True)
        begun = time.monotonic()
        _count(runners, stop, args.every)
        for runner in runners.values():
            runner.finish()
        _summary(runners, time.monotonic() - begun, as_json=args.json)


def _count(runners: dict[str, Runner], stop: Event, every: float) -> None:
    """Count the events of all views in turn."""
    told, before = time.monotonic(), sum(runner.counts["read"] for runner in runners.values())
    while not stop.is_set():
        left = [runner for runner in runners.values() if not runner.source.ended]
        if not left:
            return
        for runner in left:
            runner.step()
        passed = time.monotonic() - told
        if passed >= every:
            read = sum(runner.counts["read"] for runner in runners.values())
            _progress(runners, (read - before) / passed)
            told, before = time.monotonic(), read


def _progress(runners: dict[str, Runner], rate: float) -> None:
    """One line on stderr."""
    parts = []
    for name, runner in runners.items():
        told = runner.figures()
        behind = f", {told['behind_seconds']:,.0f} s behind" if "behind_seconds" in told else ""
        parts.append(
            f"{name}: {count(int(told.get('counted', 0)))} counted, {count(int(told['backlog_rows']))} rows wait{behind}"
        )
    print(f"{rate:,.0f} events/s; {'; '.join(parts)}", file=sys.stderr, flush=True)


def _summary(runners: dict[str, Runner], seconds: float, *, as_json: bool) -> None:
    """What became of the events and rows of each view, over all runs."""
    figures = {name: runner.figures() for name, runner in runners.items()}
    if as_json:
        print(json.dumps({"seconds": round(seconds, 3), "views": figures}))
        return
    shown = table(f"streams, {seconds:,.1f} s", "view", *(name.replace("_", " ") for name in SHOWN), right=1)
    for name, told in figures.items():
        shown.add_row(name, *(count(int(told.get(one, 0))) for one in SHOWN))
    console().print(shown)


def _streams(config: StoreConfig, file: str) -> list[str]:
    names = [view.name for view in config.views if view.stream is not None]
    if not names:
        raise ConfigError("no view says what it counts: give one a section `stream`", file)
    return names


def _place(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigError(f"--metrics takes HOST:PORT such as 127.0.0.1:9400, not '{text}'")
    return host, int(port)
