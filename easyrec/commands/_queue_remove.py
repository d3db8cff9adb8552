"""Remove a queue; parts that were made stay. Workers that still run make it again.

easyrec queue remove work
"""

from __future__ import annotations

import argparse

from easyrec.commands._queue_status import add_place
from easyrec.data.queues import queue_config


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec queue remove`."""
    add_place(parser)


def run(args: argparse.Namespace) -> None:
    """Remove it."""
    queue = queue_config(args.place).open(args.epoch)
    try:
        queue.remove()
    finally:
        queue.close()
    print(f"{queue.shown}: removed")
