"""Join the features of a model to rows, each as it was known at the row's time, and write parquet.

easyrec store training-set -c store.yaml ctr --spine clicks.parquet --output train.parquet
easyrec store training-set -c store.yaml ctr --spine clicks/ --output train.parquet --event-time shown_at --memory 8GB
easyrec store training-set -c store.yaml ctr --output train --by day --features experiment.yaml
easyrec store training-set -c store.yaml ctr --output train --by day --engine spark workers=8
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from easyrec.commands._options import engine_named, positive
from easyrec.commands._print import bar, console, count, line, table
from easyrec.commands._store import add_definitions, definitions, model_of
from easyrec.errors import ConfigError, nearest
from easyrec.store.definitions import LabelTable, StoreConfig
from easyrec.store.point_in_time import Encoding, training_set
from easyrec.store.training_parts import FORMATS, training_parts


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec store training-set`."""
    add_definitions(parser)
    parser.add_argument("model", metavar="MODEL", help="name of a model's features")
    parser.add_argument(
        "--spine",
        metavar="PATH_OR_NAME",
        help="rows with ids, times and labels: a label table of the definitions, or parquet [the model's label table]",
    )
    parser.add_argument("--output", required=True, metavar="PATH", help="parquet file to write; with --by a folder")
    parser.add_argument("--event-time", metavar="COLUMN", help="the spine's times [the label table's, or event_time]")
    parser.add_argument(
        "--by", choices=list(FORMATS), help="write a file for each; the same command goes on where it was stopped"
    )
    parser.add_argument("--column", default="ds", metavar="NAME", help="what the folders of --by call the time [ds]")
    parser.add_argument(
        "--features", metavar="CONFIG", help="run the rows through the features of an experiment or a features file"
    )
    parser.add_argument(
        "--reserve", metavar="COLUMN,...", help="columns to keep beside them [labels, and what training needs]"
    )
    parser.add_argument("--memory", metavar="SIZE", help="bound such as 8GB; what does not fit goes to disk")
    parser.add_argument("--threads", type=positive, metavar="N", help="threads [all processors]")
    parser.add_argument(
        "--engine",
        nargs="+",
        metavar=("TYPE", "KEY=VALUE"),
        help="local or spark, and its keys, such as workers=8 or spark.executor.memory=8g [local]",
    )
    parser.add_argument("--master", metavar="URL", help="of Spark, such as spark://HOST:7077 [this machine]")


def run(args: argparse.Namespace) -> None:
    """Join, and tell what is there."""
    config = definitions(args)
    spine = _spine(config, args)
    if args.engine and args.engine[0] != "local":
        _by_spark(config, spine, args)
        return
    encoding = _encoding(spine, args)
    options = {"event_time": args.event_time, "encoding": encoding, "threads": args.threads, "memory": args.memory}
    with bar() as progress:
        if args.by is None:
            made = training_set(config, args.model, spine, args.output, **options, progress=progress)
        else:
            parts = training_parts(
                config, args.model, spine, args.output, unit=args.by, column=args.column, **options, progress=progress
            )
    if args.by is None:
        _print_views(config, args.model, made.found, made.rows)
        line(f"{args.output}: {count(made.rows)} rows, {len(made.columns)} columns, {made.seconds:.1f} s")
        return
    shown = table("parts", "part", "rows", "", right=1, numbers=1)
    for part in parts.parts:
        shown.add_row(part.name, count(part.rows), "of a former run" if part.kept else f"{part.seconds:.1f} s")
    console().print(shown)
    _print_views(config, args.model, parts.found, sum(part.rows for part in parts.parts if not part.kept))
    told = f"{count(parts.rows)} rows, {len(parts.columns)} columns, {len(parts.parts)} parts, {parts.seconds:.1f} s"
    line(f"{args.output}: {told}")


def _spine(config: StoreConfig, args: argparse.Namespace) -> str | LabelTable:
    """The rows that are meant.

    Raises:
        ConfigError: Nobody names any.
    """
    model = model_of(config, args.model, args.config)
    named = args.spine or model.label
    if named is None:
        told = f"--spine says which rows to join to: model '{args.model}' names no label table"
        raise ConfigError(told, args.config)
    found = next((label for label in config.labels if label.name == named), None)
    if found is None and named.isidentifier() and not Path(named).exists():
        labels = [label.name for label in config.labels]
        known = f"label tables: {', '.join(labels) or 'none'}"
        raise ConfigError(
            f"--spine: '{named}' is no label table and no file{nearest(named, labels)}; {known}", args.config
        )
    return found or str(named)


def _encoding(spine: str | LabelTable, args: argparse.Namespace) -> Encoding | None:
    if args.features is None:
        if args.reserve is not None:
            raise ConfigError("--reserve is for rows that become features: name their config, --features")
        return None
    from easyrec.commands._features import load_features  # noqa: PLC0415 (it loads all of the library)

    found = load_features(args.features)
    labels = spine.labels if isinstance(spine, LabelTable) else []
    reserve = [*labels, *found.passed("train")] if args.reserve is None else list(filter(None, args.reserve.split(",")))
    return Encoding(found.generator, tuple(dict.fromkeys(reserve)), found.bad_rows)


def _by_spark(config: StoreConfig, spine: str | LabelTable, args: argparse.Namespace) -> None:
    for given in ("features", "memory", "threads"):
        if getattr(args, given) is not None:
            hint = ": `easyrec fg run --engine spark` encodes the output" if given == "features" else ""
            raise ConfigError(f"--{given} is for one process, not for --engine spark{hint}")
    from easyrec.store.spark import training_set_by_spark  # noqa: PLC0415 (an extra)

    engine = engine_named(args.engine, args.master)
    if engine.type != "spark":
        raise ConfigError(f"training sets are made by local or spark, not by '{engine.type}'")
    with engine.open() as opened:
        made = training_set_by_spark(
            opened.session,  # type: ignore[attr-defined]  # of Spark alone
            config,
            args.model,
            spine,
            args.output,
            event_time=args.event_time,
            unit=args.by,
            column=args.column,
        )
    _print_views(config, args.model, made.found, made.rows)
    line(f"{args.output}: {count(made.rows)} rows, {len(made.columns)} columns, {made.seconds:.1f} s")


def _print_views(config: StoreConfig, model: str, found: Mapping[str, int], rows: int) -> None:
    """A table of the views, and for how many rows they had one."""
    shown = table("views", "view", "features", "rows with one", "share", right=1)
    columns = config.columns(config.model(model))
    for name, number in found.items():
        features = sum(view.name == name for view, _ in columns.values())
        shown.add_row(name, features, count(number), f"{number / rows:.1%}" if rows else "")
    console().print(shown)
