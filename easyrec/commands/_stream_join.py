"""Join exposures with what followed them into samples.

easyrec stream join -c store.yaml ctr
easyrec stream join -c store.yaml ctr --until end --flush

SIGTERM and Ctrl-C end it after the step that it is at. What was killed goes on where it was: each event counts once, and
each sample is read once.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from easyrec.commands._print import console, count, line, log, table
from easyrec.commands._stop import told_to_stop
from easyrec.commands._store import add_definitions, definitions
from easyrec.errors import ConfigError, nearest

if TYPE_CHECKING:
    from easyrec.stream.joining import Joining

SHOWN = ("read", "filtered", "ahead", "malformed", "duplicates", "late", "unmatched", "positives")
"""What is told of each kind of event."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec stream join`."""
    add_definitions(parser)
    parser.add_argument("name", metavar="NAME", help="name of the samples")
    parser.add_argument("--until", choices=["end"], help="end where the events end now; default: go on for ever")
    parser.add_argument(
        "--flush", action="store_true", help="in the end, make the samples that wait: nothing follows any more"
    )
    parser.add_argument(
        "--state", default=".", metavar="FOLDER", help="where the state lies, unless the config says [.]"
    )
    parser.add_argument(
        "--every", type=float, default=10.0, metavar="SECONDS", help="how often to tell how far it is [10]"
    )
    parser.add_argument("--json", action="store_true", help="tell in the end as JSON")


def run(args: argparse.Namespace) -> None:
    """Join until the events end, or until it is told to stop."""
    from easyrec.stream.joining import Joining  # noqa: PLC0415 (help must not wait for it)

    log()
    begun = time.monotonic()
    config = definitions(args)
    samples = [one.name for one in config.samples]
    if args.name not in samples:
        told = (
            f"no samples are called '{args.name}'{nearest(args.name, samples)}; known: {', '.join(samples) or 'none'}"
        )
        raise ConfigError(told, args.config)
    joining = Joining(config, args.name, until_end=args.until == "end", folder=Path(args.state))
    try:
        with told_to_stop() as stop:
            _run(joining, stop.is_set, args.every)
            if args.flush and not stop.is_set():
                joining.flush()
        _summary(joining, time.monotonic() - begun, as_json=args.json)
    finally:
        joining.close()


def _run(joining: Joining, stop: Callable[[], bool], every: float) -> None:
    told, read = time.monotonic(), 0
    while not stop() and not joining.ended:
        read += joining.step()
        passed = time.monotonic() - told
        if passed >= every:
            made, waiting = count(joining.counts["samples"]), count(joining.waiting)
            print(f"{read / passed:,.0f} events/s; {made} samples, {waiting} wait", file=sys.stderr, flush=True)
            told, read = time.monotonic(), 0


def _summary(joining: Joining, seconds: float, *, as_json: bool) -> None:
    """What became of the events, over all runs."""
    counts, name = joining.counts, joining.config.name
    if as_json:
        line(json.dumps({"name": name, "seconds": round(seconds, 3), "waiting": joining.waiting, **counts}))
        return
    shown = table(f"samples '{name}', {seconds:,.1f} s", "events", *SHOWN, right=1)
    for kind in joining.kinds:
        shown.add_row(kind.name, *(count(counts[f"{kind.name}.{what}"]) for what in SHOWN))
    console().print(shown)
    made, again = count(counts["samples"]), count(counts["corrections"])
    line(f"{made} samples, {again} made again, {count(joining.waiting)} wait; in {joining.place}")
