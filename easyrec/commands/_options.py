"""Options that several commands share, and what they mean."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from easyrec.config import Experiment, load_experiment
from easyrec.errors import ConfigError
from feature_generator import load_operators
from feature_generator.config import Document, plug, read_yaml, validate

if TYPE_CHECKING:
    from easyrec.data.engines import EngineConfig
    from easyrec.data.queues import QueueConfig
    from easyrec.export.trust import Trust


def add_experiment(parser: argparse.ArgumentParser) -> None:
    """Add `-c`, `-o`, `--plugin` and `--operators`."""
    parser.add_argument(
        "-c", "--config", required=True, metavar="FILE", help="the experiment's YAML, or the folder of a run"
    )
    add_overrides(parser)
    add_plugin(parser)


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Add `-o`."""
    parser.add_argument(
        "-o",
        "--override",
        action="extend",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="lay a value over the config, e.g. train.epochs=3 or features[user_id].embedding_dim=32",
    )


def add_run_dir(parser: argparse.ArgumentParser) -> None:
    """Add `--run-dir`."""
    parser.add_argument("--run-dir", metavar="DIR", help="folder of the run [runs/<name>]")


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Add `--checkpoint`."""
    parser.add_argument("--checkpoint", metavar="DIR", help="another checkpoint than the run's best one")


def add_plugin(parser: argparse.ArgumentParser) -> None:
    """Add `--plugin` and `--operators`."""
    parser.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="FILE_OR_PACKAGE",
        help="more models, losses, features, ...: my_model.py is the type my_model, acme/models/x.py the model type x",
    )
    parser.add_argument(
        "--operators",
        action="append",
        default=[],
        metavar="FILE",
        help="shared library with operators of custom features; its code runs inside this program",
    )


def add_index(parser: argparse.ArgumentParser, text: str, **options: Any) -> None:
    """Add `--index`."""
    parser.add_argument("--index", nargs="+", metavar=("TYPE", "KEY=VALUE"), help=text, **options)


def index_of(words: Sequence[str]) -> dict[str, Any]:
    """The config of an index from its type and `key=value` words."""
    try:
        return {**{name: yaml.safe_load(text) for name, text in pairs(words[1:])}, "type": words[0]}
    except yaml.YAMLError as error:
        raise ConfigError(f"--index {' '.join(words)}: a value is not valid YAML") from error


def add_trust(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    """Add `--trust`."""
    parser.add_argument(
        "--trust",
        required=required,
        metavar="FILE",
        help="whose bundles are taken: a server's YAML, or its 'trust' alone",
    )


def trust_of(args: argparse.Namespace) -> Trust | None:
    """Whose bundles `--trust` says are taken; None where it is not given.

    Raises:
        ConfigError: The file says it wrongly, or not at all.
    """
    from easyrec.export.trust import Trust, without_secrets  # noqa: PLC0415 (help must not wait for it)

    if args.trust is None:
        return None
    document = read_yaml(args.trust)
    own = document.data.get("trust", document.data)
    try:
        trust = validate(Trust, document if own is document.data else Document.of(own))
    except ConfigError as error:
        raise without_secrets(error, own) from None
    for key in trust.keys:
        key.check()
    return trust


def add_queue(parser: argparse.ArgumentParser) -> None:
    """Add `--queue` and what goes with it."""
    shared = parser.add_argument_group("with several workers, each of which runs the same command")
    shared.add_argument(
        "--queue",
        metavar="PLACE",
        help="hand the rows out in slices, by a folder or sqlite:FILE or redis://HOST:PORT/0; --output is a folder then",
    )
    shared.add_argument(
        "--wait",
        action=argparse.BooleanOptionalAction,
        help="stay until all slices are done, also by others [--wait]",
    )
    shared.add_argument(
        "--attempts", type=positive, metavar="N", help="tries of a slice before it counts as failed [3]"
    )
    shared.add_argument(
        "--lease-seconds", type=float, metavar="S", help="silence after which a worker's slice goes to another [60]"
    )
    shared.add_argument("--slice-rows", type=positive, metavar="N", help="rows of a slice, about [131,072]")


def queue_of(args: argparse.Namespace) -> QueueConfig | None:
    """The queue that the options name.

    Raises:
        ConfigError: There is no such place, or an option needs a queue that nobody names.
    """
    from easyrec.data.queues import queue_config  # noqa: PLC0415 (help must not wait for it)

    keys = {key: getattr(args, key) for key in ("attempts", "lease_seconds", "slice_rows")}
    given = {key: value for key, value in keys.items() if value is not None}
    if args.queue is None:
        lost = [*given, *(["wait"] if args.wait is not None else [])]
        if getattr(args, "engine", None) and args.slice_rows is not None:
            lost.remove("slice_rows")  # an engine cuts slices too
        if lost:
            raise ConfigError(f"--{lost[0].replace('_', '-')} is for work that is shared: name its --queue")
        return None
    return queue_config({**queue_config(args.queue).model_dump(exclude_unset=True), **given})


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Add `--engine` and what goes with it."""
    spread = parser.add_argument_group("by the workers of an engine, which share the rows; --output is a folder then")
    spread.add_argument(
        "--engine",
        nargs="+",
        metavar=("TYPE", "KEY=VALUE"),
        help="local, ray or spark, and its keys, such as workers=8 or spark.executor.memory=8g [local]",
    )
    spread.add_argument(
        "--engine-address",
        "--master",
        metavar="URL",
        help="a cluster, such as ray://HOST:10001 or spark://HOST:7077 [this machine]",
    )
    spread.add_argument("--table", metavar="NAME", help="table of Spark's catalogue to read in the place of --input")
    spread.add_argument("--where", metavar="SQL", help="which rows of the table, such as \"dt = '2026-01-01'\"")
    spread.add_argument(
        "--output-table", metavar="NAME", help="table of Spark's catalogue to make of the output; no row is copied"
    )


def engine_of(args: argparse.Namespace) -> EngineConfig | None:
    """The engine that the options name; None for this process.

    Raises:
        ConfigError: There is no such engine, or an option needs one that nobody names.
    """
    from easyrec.data.engines import engine_config, words_of_engine  # noqa: PLC0415 (help must not wait for it)

    kind, *words = args.engine or ["local"]
    keys = words_of_engine(pairs(words))
    if kind == "local":
        given = [name for name in ("engine_address", "table", "where", "output_table") if getattr(args, name)]
        if given or keys:
            what = f"--{given[0].replace('_', '-')}" if given else f"'{words[0]}'"
            raise ConfigError(f"{what} is for work that an engine shares out: name it, --engine ray or --engine spark")
        return None
    if args.queue is not None:
        raise ConfigError("--queue and --engine both share the rows out: take one of them")
    if args.table and args.input:
        raise ConfigError("--input and --table both name rows: take one of them")
    if args.where and not args.table:
        raise ConfigError("--where is for rows of a table: name it, --table db.name")
    if args.engine_address is not None:
        keys["address"] = args.engine_address
    if args.slice_rows is not None:
        keys["slice_rows"] = args.slice_rows
    return engine_config({**keys, "type": kind})


def engine_named(words: Sequence[str], address: str | None) -> EngineConfig:
    """The engine of a command that shares nothing out by itself.

    Args:
        words: Its type and `key=value` words.
        address: Where it runs.

    Raises:
        ConfigError: There is no such engine, or a key is wrong.
    """
    from easyrec.data.engines import engine_config, words_of_engine  # noqa: PLC0415 (help must not wait for it)

    at = {} if address is None else {"address": address}
    return engine_config({**words_of_engine(pairs(words[1:])), **at, "type": words[0]})


def pairs(words: Sequence[str]) -> list[tuple[str, str]]:
    """Names and texts of `name=text` words.

    Raises:
        ConfigError: One has no name, or no `=`.
    """
    found = [word.partition("=") for word in words]
    wrong = [word for word, (name, sign, _) in zip(words, found, strict=True) if not name or not sign]
    if wrong:
        raise ConfigError(f"'{wrong[0]}' is not NAME=VALUE")
    return [(name, text) for name, _, text in found]


def experiment(args: argparse.Namespace) -> Experiment:
    """The experiment that `-c` and `-o` name, with what `--plugin` and `--operators` bring."""
    plug_all(args)
    return load_experiment(args.config, args.override)


def plug_all(args: argparse.Namespace) -> None:
    """Make the members of every `--plugin` known, whose package may lie in the current folder, and load `--operators`."""
    if args.plugin and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    for plugin in args.plugin:
        plug(plugin)
    for library in args.operators:
        load_operators(library)


def positive(text: str) -> int:
    """A whole number above 0, for argparse."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number
