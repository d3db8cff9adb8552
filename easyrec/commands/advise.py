"""Propose changes of a config by its data, a profile of some steps, and what its run and its search have left.

Each proposal says what is seen, why it matters, and the override that applies it. Nothing is changed but the file that --apply
writes.

    easyrec advise -c config.yaml
    easyrec advise -c config.yaml --skip rare_positives --apply better.yaml
    easyrec advise -c runs/shop --steps 0 --report advice.html
"""

from __future__ import annotations

import argparse
import json

import easyrec
from easyrec.commands._options import add_experiment, plug_all
from easyrec.commands._print import console, log


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec advise`."""
    add_experiment(parser)
    parser.add_argument("--run", metavar="DIR", help="folder of a run [runs/<name>, where its config is the same]")
    parser.add_argument("--study", metavar="DIR", help="folder of a search [runs/<name>-tune]")
    parser.add_argument("--rows", type=_count, default=20_000, metavar="N", help="rows to sample of each part [20000]")
    parser.add_argument(
        "--steps", type=_count, default=200, metavar="N", help="training steps to measure; 0: none [200]"
    )
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="RULE", help="rules to hear: small_buckets, small_buckets:tags"
    )
    parser.add_argument("--skip", nargs="+", default=[], metavar="RULE", help="rules not to hear")
    parser.add_argument("--apply", metavar="FILE", help="write the config with the proposals applied")
    parser.add_argument("--report", metavar="HTML", help="write the proposals as a page")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")


def run(args: argparse.Namespace) -> None:
    """Look, and print what is proposed."""
    plug_all(args)
    log(silent=args.json)
    found = easyrec.advise(
        args.config,
        overrides=args.override,
        plugins=args.plugin,
        run=args.run,
        study=args.study,
        rows=args.rows,
        steps=args.steps,
        only=args.only,
        skip=args.skip,
    )
    applied = found.apply(args.apply) if args.apply else []
    if args.report:
        found.report(args.report)
    if args.json:
        print(json.dumps({**found.told(), "applied": [proposal.key for proposal in applied]}, ensure_ascii=False))
        return
    out = console()

    def say(text: str, style: str | None = None) -> None:
        out.print(text, markup=False, soft_wrap=True, style=style)

    say(f"{found.experiment.name}: looked at {', '.join(found.seen) or 'the config'} by {len(found.looked)} rules")
    for what, why in found.missing.items():
        say(f"  without {what}: {why}")
    for proposal in found.proposals:
        say(f"\n{proposal.severity}  {proposal.key}", style="bold")
        say(f"  {proposal.place}")
        for name in ("seen", "why", "effect"):
            say(f"  {name:<8}{getattr(proposal, name)}")
        if proposal.option:
            say(f"  {'apply':<8}{proposal.option}")
        elif proposal.settings:
            say(f"  {'apply':<8}{' '.join(proposal.overrides)} in the features file, or --apply FILE")
    if not found.proposals:
        say("nothing is proposed")
    if args.apply:
        say(f"\n{args.apply}: {', '.join(proposal.key for proposal in applied) or 'nothing'} applied")
    if args.report:
        say(f"report: {args.report}")


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number
