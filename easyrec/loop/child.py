"""A process of a running loop: `python -m easyrec.loop.child ROLE`, told by its standard input what to do."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading

from easyrec.loop.config import load_loop
from easyrec.loop.supervisor import end_with_parent, order_from
from easyrec.loop.worker import ModelWorker, join
from feature_generator import load_operators
from feature_generator.config import plug
from feature_generator.errors import FeatureGeneratorError

LOST = 7
"""What it ends with where the loop that started it has died."""


def main(role: str) -> int:
    """Do the work of a role until it is told to stop."""
    order = json.loads(order_from(0))
    end_with_parent(0, lambda: os._exit(LOST))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    logging.basicConfig(level=logging.INFO, format=f"{role}: %(message)s")
    for plugin in order["plugins"]:
        plug(plugin)
    for library in order["operators"]:
        load_operators(library)
    loop = load_loop(order["loop"])
    try:
        if role == "join":
            join(loop, until_end=False, stop=stop.is_set)
        else:
            ModelWorker(loop, order["plugins"]).run(stop.is_set)
    except FeatureGeneratorError as error:
        logging.getLogger("easyrec.loop").error("%s", error)
        return int(getattr(error, "exit_code", 1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
