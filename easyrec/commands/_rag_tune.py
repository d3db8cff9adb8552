"""Choose how what words and what vectors find becomes one list, on questions whose places are known.

easyrec rag tune -c rag.yaml --questions qa.jsonl
easyrec rag tune -c rag.yaml --questions qa.jsonl --output fusion.yaml
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml
from rich.console import Console
from rich.progress import Progress

from easyrec.commands._print import console, line, table
from easyrec.commands._rag import add_config, check_output, config_of
from easyrec.errors import ConfigError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec rag tune`."""
    add_config(parser, base=True)
    parser.add_argument("--questions", required=True, metavar="FILE", help="JSON lines, as `easyrec rag qagen` writes")
    parser.add_argument("--limit", type=int, metavar="N", help="the first N questions alone")
    parser.add_argument(
        "--held-out", type=float, default=0.5, metavar="SHARE", help="measured on, and not chosen by [0.5]"
    )
    parser.add_argument("--at", type=int, default=10, metavar="K", help="how many of what is found count [10]")
    parser.add_argument("--seed", type=int, default=0, help="which questions are held out [0]")
    parser.add_argument("--output", metavar="FILE", help="write the section `search` as YAML, for `base` or to copy")


def run(args: argparse.Namespace) -> None:
    """Try all settings, and tell the best one."""
    from easyrec.durable import write_text  # noqa: PLC0415 (help must not wait for it)
    from rag.evaluation.questions import read_questions  # noqa: PLC0415
    from rag.knowledge import KnowledgeBase  # noqa: PLC0415
    from rag.tuning import settings, tune  # noqa: PLC0415

    for name, value, good in (("--held-out", args.held_out, 0 < args.held_out < 1), ("--at", args.at, args.at >= 1)):
        if not good:
            raise ConfigError(f"{name}: cannot be {value}")
    if args.limit is not None and args.limit < 1:
        raise ConfigError(f"--limit: must be at least 1, but is {args.limit}")
    config = config_of(args)
    check_output(args.output)
    questions = read_questions(args.questions)[: args.limit]
    shown = Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    with KnowledgeBase(config.knowledge) as base, shown:
        task = shown.add_task("questions", total=len(questions))
        tuned = tune(
            base,
            questions,
            config.search,
            k=args.at,
            held_out=args.held_out,
            seed=args.seed,
            progress=lambda more: shown.update(task, advance=more),
        )
    told = table(f"MRR@{args.at} of {tuned.held_out} questions that were held out", "setting", "mean", "95 %", right=1)
    rows = {"vectors alone": tuned.vector, "words alone": tuned.keyword, "as configured": tuned.before}
    for name, found in {**rows, tuned.best.called: tuned.chosen}.items():
        told.add_row(name, f"{found.mean:.4f}", f"{found.low:.4f} to {found.high:.4f}")
    console().print(told)
    line(f"chosen out of {len(settings())} settings by {tuned.questions} other questions: {tuned.best.called}")
    gain = tuned.gain
    sure = "surely better" if tuned.surely_better else "not surely better"
    line(f"gain {gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f}, p {gain.p:.3f}): {sure} than as configured")
    text = yaml.safe_dump({"search": tuned.best.as_search()}, sort_keys=False)
    if args.output is None:
        line(f"\n{text}")
    else:
        write_text(Path(args.output), text)
        line(f"written to {args.output}")
