"""Run the loop: one process that reads logs, one that trains, and this one, which starts them again where they die.

easyrec loop run -c loop.yaml

SIGTERM and Ctrl-C end it. What was killed goes on where it was: each sample is learned once.
"""

from __future__ import annotations

import argparse

from easyrec.commands._loop import add_loop, loop_of
from easyrec.commands._options import add_plugin, plug_all
from easyrec.commands._print import log
from easyrec.commands._stop import told_to_stop


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec loop run`."""
    add_loop(parser)
    add_plugin(parser)


def run(args: argparse.Namespace) -> None:
    """Run until it is told to stop."""
    from easyrec.config import load_experiment  # noqa: PLC0415 (help must not wait for it)
    from easyrec.loop.supervisor import Supervisor  # noqa: PLC0415 (the same)

    log()
    plug_all(args)
    loop = loop_of(args)
    load_experiment(loop.experiment)  # what is wrong with it is told now, and not by processes that end again and again
    supervisor = Supervisor(loop, args.plugin, args.operators)
    with told_to_stop() as stop:
        supervisor.run(stop.is_set)
