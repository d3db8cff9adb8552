"""Look at experiments, stop and start them, and tell what came of them.

easyrec engine ab status -c engine.yaml
easyrec engine ab stop -c engine.yaml deep --why "slow on old phones"
easyrec engine ab assign -c experiments.yaml u1 u2 country=NO --scene feed
easyrec engine ab diff -c experiments.yaml --new next.yaml
easyrec engine ab analyse -c engine.yaml --log logs --segment country --html report.html
"""

from __future__ import annotations

import argparse
import getpass
import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from easyrec.commands._options import add_overrides, pairs
from easyrec.commands._print import console, count, line, table
from easyrec.commands._store import instant
from easyrec.durable import write_text
from easyrec.errors import ConfigError
from easyrec.finite import finite

if TYPE_CHECKING:
    from serving.ab import Experiments


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec engine ab`."""
    does = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _action(does, "status", "tell what runs, what was stopped, by whom and why")
    for action, text in (
        ("stop", "stop an experiment in all running processes"),
        ("start", "let a stopped one go on"),
    ):
        one = _action(does, action, text)
        one.add_argument("experiment", help="its name")
        one.add_argument("--why", default="", metavar="TEXT", help="the reason, for the log")
        one.add_argument("--by", metavar="NAME", help="who, for the log [the user]")
    assign = _action(does, "assign", "tell which variants units get")
    assign.add_argument("words", nargs="+", metavar="UNIT|ATTRIBUTE=VALUE", help="units, and attributes of all of them")
    assign.add_argument("--scene", help="the scene that is asked")
    diff = _action(does, "diff", "tell who would move if another file took the place of this one")
    diff.add_argument("--new", required=True, metavar="FILE", help="the other file")
    diff.add_argument("--units", type=int, default=100_000, metavar="N", help="simulated units [100,000]")
    diff.add_argument("--scene", help="the scene that is asked")
    _configure_analyse(_action(does, "analyse", "tell what came of experiments, from the logs"))


def _configure_analyse(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--log", nargs="+", metavar="PLACE", help="folders or files of logs [record.path of engine.yaml]"
    )
    parser.add_argument("--layer", nargs="+", default=[], metavar="NAME", help="layers [all]")
    parser.add_argument("--experiment", nargs="+", default=[], metavar="NAME", help="experiments [all of the log]")
    parser.add_argument("--metric", nargs="+", default=[], metavar="NAME", help="metrics of the file [all]")
    parser.add_argument("--segment", nargs="+", default=[], metavar="COLUMN", help="effects by these columns too")
    parser.add_argument("--alpha", type=float, default=0.05, help="how often an interval may miss the truth [0.05]")
    parser.add_argument("--power", type=float, default=0.8, help="of needed samples [0.8]")
    parser.add_argument("--correction", choices=("holm", "bh"), default="holm", help="of many p-values at once [holm]")
    parser.add_argument("--no-cuped", dest="cuped", action="store_false", help="leave out what units did before")
    parser.add_argument("--before-days", type=float, default=14.0, metavar="N", help="how long before [14]")
    parser.add_argument("--covariates", metavar="FILE", help="parquet of units with numbers known before, instead")
    parser.add_argument("--memory", metavar="SIZE", help="bound of memory such as 4GB; the rest goes to disk")
    parser.add_argument("--html", metavar="FILE", help="write a page to look at")
    parser.add_argument("--json", action="store_true", help="JSON instead of tables")


def _action(does: Any, name: str, text: str) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = does.add_parser(name, help=text, description=text, allow_abbrev=False)
    made.add_argument(
        "-c", "--config", required=True, metavar="FILE", help="the experiments' YAML, or that of an engine"
    )
    add_overrides(made)
    made.add_argument("--traceback", action="store_true", help=argparse.SUPPRESS)
    return made


def run(args: argparse.Namespace) -> int:
    """Do what is asked."""
    act = {"status": _status, "stop": _change, "start": _change, "assign": _assign, "diff": _diff, "analyse": _analyse}
    return act[args.action](args)


def _loaded(args: argparse.Namespace) -> tuple[Experiments, str | None]:
    from serving.ab import Experiments  # noqa: PLC0415 (help must not wait for it)
    from serving.ab.config import experiments_of  # noqa: PLC0415

    document, log = experiments_of(args.config, args.override)
    return Experiments.load(document), log


def _status(args: argparse.Namespace) -> int:
    experiments, _ = _loaded(args)
    stopped, now = experiments.stopped, time.time()
    shown = table("experiments", "layer", "experiment", "state", "variants", "room", "ramp", "guardrails", right=4)
    for layer, one in experiments.config.experiments.values():
        state = "stopped" if one.state == "stopped" or one.name in stopped else "running"
        if state == "running" and one.start is not None and now < one.start:
            state = f"from {instant(one.start)}"
        elif state == "running" and one.end is not None and now >= one.end:
            state = f"ended {instant(one.end)}"
        variants = ", ".join(
            f"{variant.name} {share:.0%}" for variant, share in zip(one.variants, one.weights, strict=True)
        )
        room = f"{one.buckets[0]}-{one.buckets[1]}" if one.buckets else f"{one.share or 1.0:.2%}"
        shown.add_row(layer.name, one.name, state, variants, room, f"{one.ramp:.0%}", len(one.guardrails))
    console().print(shown)
    for name, one_ in stopped.items():
        line(f"{name}: stopped {instant(one_.time)} by {one_.by or '(nobody)'}: {one_.why or '(no reason)'}")
    for told in experiments.state.log()[-20:]:
        line(f"{instant(told['time'])}  {told['what']}  {told['experiment']}  by {told['by']}  {told['why']}")
    return 0


def _change(args: argparse.Namespace) -> int:
    experiments, _ = _loaded(args)
    by = args.by or getpass.getuser()
    change = experiments.stop if args.action == "stop" else experiments.start
    word = "stopped" if args.action == "stop" else "started"
    changed = change(args.experiment, by, args.why)
    line(
        f"{args.experiment}: {word}"
        if changed
        else f"{args.experiment}: was {'stopped' if word == 'stopped' else 'not stopped'} already"
    )
    return 0


def _assign(args: argparse.Namespace) -> int:
    experiments, _ = _loaded(args)
    try:
        attributes = {name: yaml.safe_load(text) for name, text in pairs([w for w in args.words if "=" in w])}
    except yaml.YAMLError as error:
        raise ConfigError("a value of an attribute is not valid YAML") from error
    for unit in (word for word in args.words if "=" not in word):
        found = experiments.assign(unit, attributes, scene=args.scene)
        told = {"unit": unit, "experiments": dict(found.variants), "parameters": dict(found.parameters)}
        line(json.dumps(told, ensure_ascii=False))
    return 0


def _diff(args: argparse.Namespace) -> int:
    import numpy as np  # noqa: PLC0415 (help must not wait for it)

    from serving.ab import Experiments, load_experiments  # noqa: PLC0415
    from serving.ab.config import experiments_of  # noqa: PLC0415

    experiments, _ = _loaded(args)
    document, _ = experiments_of(args.new)
    new = Experiments(load_experiments(document), experiments.state.folder)
    units = [f"u{number}" for number in range(args.units)]
    before, after = (one.assign_many(units, scene=args.scene) for one in (experiments, new))
    shown = table("of all units", "layer", "stay", "join", "leave", "move", right=1)
    moved = 0.0
    for layer in dict.fromkeys([*before.column_names, *after.column_names]):
        was, will = (
            np.array(one[layer].to_pylist() if layer in one.column_names else [None] * len(units), object)
            for one in (before, after)
        )
        had, has = was != None, will != None  # noqa: E711 (of each element)
        shares = [np.mean(part) for part in (had & (was == will), ~had & has, had & ~has, had & has & (was != will))]
        moved += float(shares[3])
        shown.add_row(layer, *(f"{share:.2%}" for share in shares))
    console().print(shown)
    line("units without attributes; conditions are met by none of them")
    return int(moved > 0)


def _analyse(args: argparse.Namespace) -> int:
    from serving.ab.analysis import Asked, analyse, chosen_of, since  # noqa: PLC0415 (help must not wait for it)
    from serving.ab.config import experiments_of, load_experiments  # noqa: PLC0415
    from serving.ab.log import Log  # noqa: PLC0415

    for name in ("alpha", "power"):
        if not 0.0 < getattr(args, name) < 1.0:
            raise ConfigError(f"--{name} must lie between 0 and 1, but is {getattr(args, name):g}")
    if args.before_days < 0:
        raise ConfigError(f"--before-days must not be negative, but is {args.before_days:g}")
    document, log = experiments_of(args.config, args.override)
    config = load_experiments(document)
    places = args.log or ([log] if log else [])
    if not places:
        raise ConfigError("the file names no log: --log DIR")
    # a misspelt name is told before logs are read
    _, chosen = chosen_of(config, args.layer, args.experiment, args.metric)
    asked = Asked(args.alpha, args.power, args.cuped, args.before_days, args.covariates, args.segment, args.correction)
    first = since(chosen, args.before_days if args.cuped else 0.0)
    log_ = Log(places, config.unit, memory=args.memory, features=bool(args.segment), since=first)
    found = analyse(config, log_, asked, args.layer, args.experiment, args.metric)
    if args.html:
        from easyrec.report.ab_page import ab_page  # noqa: PLC0415 (help must not wait for it)

        write_text(Path(args.html), ab_page(found))
    if args.json:
        line(json.dumps(finite(found), ensure_ascii=False))
    else:
        for one in found:
            _tell(one)
    if args.html:
        line(f"page: {args.html}")
    return 0


def _tell(found: Mapping[str, Any]) -> None:
    """One experiment as tables."""
    split = found["sample"]
    sizes = ", ".join(f"{one['name']} {count(one['units'])}" for one in split["variants"])
    word = "MISMATCH" if split["mismatch"] else "as it should be"
    line(f"\n{found['layer']} / {found['experiment']}: {sizes}; the split is {word} (p {split['p']:.3g})")
    for note in found["notes"]:
        line(f"note: {note}")
    level = f"{1 - found['alpha']:.0%}"
    head = [
        "metric",
        "variant",
        "mean",
        "with CUPED",
        "lift",
        level,
        "p",
        "p of all",
        "p any time",
        "detectable",
        "needed units",
    ]
    shown = table(f"{found['experiment']}: beside '{found['control']}'", *head, right=2)
    for one in found["metrics"]:
        if "lift" not in one:
            shown.add_row(one["metric"], one["variant"], f"{one['mean']:.5g}", f"{one['adjusted']:.5g}", *[""] * 7)
            continue
        shown.add_row(
            one["metric"],
            one["variant"],
            f"{one['mean']:.5g}",
            f"{one['adjusted']:.5g}",
            _share(one["lift"]),
            f"{_share(one['lift_low'])} .. {_share(one['lift_high'])}",
            *(f"{one[key]:.3g}" for key in ("p", "p_corrected", "sequential_p")),
            _share(one["detectable"], sign=False),
            count(int(one["needed"])) if math.isfinite(one["needed"]) else "",
        )
    console().print(shown)
    if found["segments"]:
        shown = table(
            "by segment", "segment", "value", "metric", "variant", "units", "lift", level, "p of all", right=4
        )
        for one in found["segments"]:
            span = f"{_share(one['lift_low'])} .. {_share(one['lift_high'])}"
            told = (one["segment"], one["value"], one["metric"], one["variant"], count(one["units"]))
            shown.add_row(*told, _share(one["lift"]), span, f"{one['p_corrected']:.3g}")
        console().print(shown)


def _share(value: float, *, sign: bool = True) -> str:
    if not math.isfinite(value):
        return ""
    return f"{value:+.2%}" if sign else f"{value:.2%}"
