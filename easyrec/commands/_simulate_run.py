"""Let simulated days pass: ask an engine, click, tell it, and write down how good its lists were.

easyrec simulate -c simulate.yaml
easyrec simulate -c simulate.yaml -o world.days=3 drive.url=http://127.0.0.1:8020
easyrec simulate -c simulate.yaml --policy oracle        # without an engine

Figures go to runs/<name>-simulate/: metrics.jsonl with a line a day, and report.html.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from easyrec.commands._print import console, log, table
from easyrec.commands._simulate import add_config, bar


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec simulate run`."""
    add_config(parser)
    parser.add_argument("--run-dir", metavar="DIR", help="folder of the figures [runs/<name>-simulate]")
    parser.add_argument(
        "--policy",
        choices=["random", "popular", "segments", "oracle"],
        help="answer in this process, in the place of an engine",
    )
    parser.add_argument("--explore", type=float, default=0.1, metavar="SHARE", help="of such a policy [0.1]")
    parser.add_argument("--days", type=int, metavar="N", help="pass so many days now; --resume goes on [all]")
    parser.add_argument("--resume", action="store_true", help="go on after the last day that is whole")
    parser.add_argument("--log", action="store_true", help="write exposures and events down, in <run-dir>/logs")
    parser.add_argument("--wait", type=float, default=10.0, metavar="SECONDS", help="for the engine to be there [10]")


def run(args: argparse.Namespace) -> int:
    """Pass the days, and print them."""
    from easyrec.errors import ConfigError  # noqa: PLC0415 (help must not wait for it)
    from easyrec.simulate.config import PolicyConfig, load_simulate  # noqa: PLC0415 (help must not wait for it)
    from easyrec.simulate.figures import COLUMNS  # noqa: PLC0415 (help must not wait for it)
    from easyrec.simulate.page import cells  # noqa: PLC0415 (help must not wait for it)
    from easyrec.simulate.run import simulate  # noqa: PLC0415 (help must not wait for it)

    log()
    config = load_simulate(args.config, args.override)
    if not 0.0 <= args.explore <= 1.0:
        raise ConfigError(f"--explore is a share from 0 to 1, not {args.explore:g}")
    if args.days is not None and args.days < 1:
        raise ConfigError(f"--days is at least 1, not {args.days}")
    if args.resume and args.overwrite:
        raise ConfigError("--resume goes on, --overwrite begins anew: take one of them")
    policy = None
    if args.policy is not None:
        policy = PolicyConfig(type=args.policy, explore=0.0 if args.policy == "oracle" else args.explore)
    folder = Path(args.run_dir or f"runs/{config.name}-simulate")
    out = console()

    def told(day: dict[str, Any]) -> None:
        if not out.is_terminal:
            out.print(
                f"day {day['day']}: CTR {day['ctr']:.2%}, expected {day['expected_ctr']:.2%}, errors {day['errors']}"
            )

    with bar() as progress:
        days = simulate(
            config,
            folder,
            policy=policy,
            resume=args.resume,
            overwrite=args.overwrite,
            log=args.log,
            days=args.days,
            patience_s=args.wait,
            progress=progress,
            after_day=told,
        )
    shown = table(f"{config.name}: {len(days)} of {config.world.days} days", *COLUMNS.values(), right=0)
    for day in days:
        shown.add_row(*cells(day))
    out.print(shown)
    for fault in dict.fromkeys(fault for day in days for fault in day.get("faults", ())):
        out.print(f"fault: {fault}", markup=False, soft_wrap=True)
    out.print(f"report: {folder / 'report.html'}", markup=False, soft_wrap=True)
    return 1 if days and all(day["errors"] == day["requests"] for day in days) else 0
