"""Show how far the work of a queue is, who works on what, and what failed.

easyrec queue status work
easyrec queue status redis://host:6379/0?name=scores --all
"""

from __future__ import annotations

import argparse

from easyrec.commands._print import console, count, table
from easyrec.data.queues import STATES, Entry, Status, queue_config

SHOWN = 20
"""Waiting slices that were tried before, and failed ones, are shown up to here."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec queue status`."""
    add_place(parser)
    parser.add_argument("--all", action="store_true", help="a line for every slice")


def add_place(parser: argparse.ArgumentParser) -> None:
    """Add what names a queue."""
    parser.add_argument(
        "place", metavar="PLACE", help="as --queue takes it: a folder, sqlite:FILE or redis://HOST:PORT/0"
    )
    parser.add_argument("--epoch", type=int, default=0, metavar="N", help="which epoch of the queue [0]")


def run(args: argparse.Namespace) -> int:
    """Print the tables; 1 where slices have failed."""
    queue = queue_config(args.place).open(args.epoch)
    try:
        status = queue.status()
    finally:
        queue.close()
    _overview(queue.shown, status)
    entries = list(status.entries) if args.all else _telling(status)
    if entries:
        _entries(entries, status.attempts)
    return 1 if status.counts["failed"] else 0


def _overview(name: str, status: Status) -> None:
    shown = table(name, "", "slices", "rows", "attempts", right=1)
    for state in ("done", "leased", "waiting", "failed"):
        entries = status.those(state)
        rows = count(sum(entry.rows or 0 for entry in entries)) if state == "done" else ""
        shown.add_row(state, count(len(entries)), rows, count(sum(entry.attempts for entry in entries)))
    attempts = sum(entry.attempts for entry in status.entries)
    shown.add_row("all", count(len(status.entries)), "", count(attempts))
    console().print(shown)


def _telling(status: Status) -> list[Entry]:
    """Slices that say something beyond their number."""
    tried = [entry for entry in status.those("waiting") if entry.attempts]
    return [*status.those("leased"), *tried[:SHOWN], *status.those("failed")[:SHOWN]]


def _entries(entries: list[Entry], attempts: int) -> None:
    shown = table("", "slice", "state", "worker", "age", "attempts", "rows", "reason", right=3, numbers=3)
    for entry in sorted(entries, key=lambda entry: STATES.index(entry.state)):
        age = "" if entry.age is None else f"{entry.age:,.0f} s"
        rows = "" if entry.rows is None else count(entry.rows)
        tried = f"{entry.attempts} of {attempts}"
        shown.add_row(entry.slice, entry.state, entry.worker, age, tried, rows, entry.reason)
    console().print(shown)
