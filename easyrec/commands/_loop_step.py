"""Do one step of the loop as far as it can be done now: for jobs of their own, in the place of `easyrec loop run`.

easyrec loop step join -c loop.yaml
easyrec loop step publish -c loop.yaml

`train`, `gate` and `publish` do what is to be done before them: `publish` plans a version, trains it, measures it and, if it
passes the gate, serves it. A step that was interrupted is gone on with by the same command.
"""

from __future__ import annotations

import argparse

from easyrec.commands._loop import add_loop, loop_of
from easyrec.commands._options import add_plugin, plug_all
from easyrec.commands._print import line, log

STEPS = ("join", "train", "gate", "publish", "tables", "vectors")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec loop step`."""
    parser.add_argument("step", choices=STEPS, help="what to do")
    add_loop(parser)
    add_plugin(parser)


def run(args: argparse.Namespace) -> None:
    """Do it, and tell what came of it."""
    from easyrec.loop.worker import step  # noqa: PLC0415 (help must not wait for it)

    log()
    plug_all(args)
    line(step(loop_of(args), args.step, args.plugin))
