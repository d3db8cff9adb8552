"""Learn what features with `fit` ask for - vocabularies, boundaries, normalizers, idf - and write it beside the config.

easyrec fg fit -c config.yaml
easyrec fg fit -c config.yaml --input 'days/*.parquet' --shard 1/4 --partial shard1
easyrec fg fit -c config.yaml --merge shard1 shard2 shard3 shard4
"""

from __future__ import annotations

import argparse
from pathlib import Path

from easyrec.commands._features import Features, add_rows, features
from easyrec.commands._options import add_experiment, positive
from easyrec.commands._print import bar, console, count, table
from easyrec.data.feed import PartFeed, feed_of
from easyrec.errors import ConfigError
from feature_generator.feed import Feed
from feature_generator.fitting.fit import MEMORY_MB, Fitting, fit
from feature_generator.fitting.learned import Learned, folder_of


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec fg fit`."""
    add_experiment(parser)
    add_rows(parser)
    parser.add_argument("--label", metavar="COLUMN", help="what trees learn from [the config's first label]")
    parser.add_argument(
        "--memory-mb",
        type=positive,
        default=MEMORY_MB,
        metavar="MB",
        help=f"memory for words; beyond it they go to temporary files [{MEMORY_MB}]",
    )
    parser.add_argument("--threads", type=positive, metavar="N", help="threads [all processors]")
    parser.add_argument("--output", metavar="DIR", help="folder to write [<config>.fitted beside the config]")
    parser.add_argument("--shard", type=shard, metavar="I/N", help="read only part I of N of the data, I from 1")
    parser.add_argument("--partial", metavar="DIR", help="write what was gathered to a new folder, to be merged")
    parser.add_argument("--merge", nargs="+", metavar="DIR", help="read no data, but what --partial wrote")


def shard(text: str) -> tuple[int, int]:
    """`2/8` as (1, 8), for argparse."""
    part, _, parts = text.partition("/")
    if not 1 <= int(part) <= int(parts):
        raise ValueError(text)
    return int(part) - 1, int(parts)


def run(args: argparse.Namespace) -> None:
    """Gather, and write what is learned or, for a shard, what was gathered."""
    if args.shard and not args.partial:
        raise ConfigError("--shard reads a part of the data: --partial says where to write what it gathers")
    if args.merge and (args.shard or args.partial or args.input):
        raise ConfigError("--merge reads what --partial wrote, and no data")
    found = features(args, blanks=True)
    if found.document is None:
        raise ConfigError("a saved generator is frozen: there is nothing to learn", args.config)
    labels = found.experiment.data.labels if found.experiment else []
    label = args.label or next(iter(labels), None)
    if args.merge:
        fitting = Fitting(found.document, label, args.memory_mb)
        for folder in args.merge:
            fitting.add_saved(folder)
    else:
        with bar() as progress:
            fitting = fit(
                found.document,
                _feed(found, args),
                label=label,
                memory_mb=args.memory_mb,
                threads=args.threads,
                progress=progress,
            )
    if args.partial:
        fitting.save(args.partial)
        console().print(f"{args.partial}: gathered from {count(fitting.rows)} rows", markup=False, soft_wrap=True)
        return
    learned = fitting.learned()
    output = Path(args.output) if args.output else _beside(found)
    learned.write(output)
    _print(output, learned)


def _feed(found: Features, args: argparse.Namespace) -> Feed:
    part = found.part(args.input, args.part, found.bad_rows)
    if part.predicate is None and args.shard is None:
        return feed_of(part.source)
    return PartFeed(part, args.shard or (0, 1))


def _beside(found: Features) -> Path:
    assert found.document is not None
    return folder_of(found.document.file)


def _print(output: Path, learned: Learned) -> None:
    title = f"{output}: learned from {count(learned.rows)} rows"
    shown = table(title, "feature", "learned", "size", "coverage", "missing", "", right=2, numbers=3)
    for name, made in learned.outcomes.items():
        told = made.told
        size = "" if told["size"] is None else count(told["size"])
        covered = "" if told["coverage"] is None else f"{told['coverage']:.2%}"
        shown.add_row(name, told["what"], size, covered, f"{told['missing']:.2%}", told["note"])
    console().print(shown)
