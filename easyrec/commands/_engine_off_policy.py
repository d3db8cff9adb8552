"""Tell from an engine's log what another policy would have been worth: IPS, SNIPS and doubly robust, with intervals.

easyrec engine off-policy --log logs --policy scores.parquet
easyrec engine off-policy --log logs --policy scores.parquet --reward click=1 buy=20 --scheme cascade --clip 50

The policy's rows have `request_id`, `item_id`, and either `score`, for all candidates of each request, or `probability`: the
chance that the policy shows the item where the log has it.
"""

from __future__ import annotations

import argparse
import json

from easyrec.commands._options import pairs
from easyrec.commands._print import console, count, table


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec engine off-policy`."""
    parser.add_argument("--log", required=True, metavar="FOLDER", help="where the engine writes: its `record.path`")
    parser.add_argument(
        "--policy", required=True, nargs="+", metavar="PARQUET", help="what each of some policies would do"
    )
    parser.add_argument(
        "--reward", nargs="+", default=["click=1"], metavar="TYPE=WORTH", help="what events are worth [click=1]"
    )
    parser.add_argument("--values", action="store_true", help="an event is worth its own `value` as many times")
    parser.add_argument("--scene", help="of this scene alone [all]")
    parser.add_argument(
        "--scheme",
        choices=["item", "cascade", "list"],
        default="item",
        help="what of a list a reward hangs on: its item and position, also those above, or all of it [item]",
    )
    parser.add_argument("--clip", type=float, metavar="W", help="cut weights above this [none]")
    parser.add_argument("--level", type=float, default=0.95, metavar="SHARE", help="of the intervals [0.95]")
    parser.add_argument("--interval", choices=["skewed", "normal", "bootstrap"], default="skewed")
    parser.add_argument("--json", action="store_true", help="tell it as JSON")


def run(args: argparse.Namespace) -> None:
    """Print the estimates."""
    from easyrec.errors import ConfigError, DataError  # noqa: PLC0415 (help must not wait for it)
    from easyrec.off_policy import doubly_robust, ips, snips  # noqa: PLC0415 (help must not wait for it)
    from easyrec.off_policy.log import against, read_log  # noqa: PLC0415 (help must not wait for it)

    if not 0.0 < args.level < 1.0:
        raise ConfigError(f"--level lies between 0 and 1, not {args.level:g}")
    if args.clip is not None and not args.clip > 0:
        raise ConfigError(f"--clip is above 0, not {args.clip:g}")
    try:
        rewards = {name: float(text) for name, text in pairs(args.reward)}
    except ValueError as error:
        raise ConfigError(f"--reward takes TYPE=WORTH such as click=1: {error}") from error
    shown = read_log(args.log, rewards=rewards, values=args.values, scene=args.scene)
    out, told = console(), []
    for path in args.policy:
        try:
            logged, silent = against(shown, path)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        ways = [ips, snips, *([doubly_robust] if logged.predicted is not None else [])]
        options = {"scheme": args.scheme, "clip": args.clip, "level": args.level, "interval": args.interval}
        found = [way(logged, **options) for way in ways]
        told.append({"policy": path, "left_out": silent, "estimates": [one.row() for one in found]})
        if args.json:
            continue
        rows = table(
            f"{path}: reward of a list, {count(len(logged))} lists",
            *("estimator", "value", "low", "high", "error", "as logged", "effective lists", "max weight"),
            right=1,
        )
        for one in found:
            numbers = [f"{value:.5f}" for value in (one.value, one.low, one.high, one.std_error, one.logged)]
            rows.add_row(one.estimator, *numbers, f"{one.effective_rows:,.0f}", f"{one.max_weight:,.1f}")
        out.print(rows)
        if silent:
            out.print(f"{count(silent)} lists of the log are left out: the policy says nothing of them")
        for warning in dict.fromkeys(text for one in found for text in one.warnings):
            out.print(f"warning: {warning}", markup=False, soft_wrap=True)
    if args.json:
        print(json.dumps(told))
    elif shown.unmatched:
        out.print(f"{count(shown.unmatched)} events followed nothing that was shown")
