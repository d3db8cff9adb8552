"""Say a stream view, or samples, as SQL for an engine; DuckDB runs it where an output is named.

easyrec stream sql -c store.yaml ctr --dialect duckdb --output samples.parquet
easyrec stream sql -c store.yaml user_clicks --dialect spark
easyrec stream sql -c store.yaml user_clicks --dialect duckdb --at 2026-01-01T12:00 --table events=shop.clicks
easyrec stream sql -c store.yaml user_clicks --dialect spark --continuous --every 1m > user_clicks.py
easyrec stream sql -c store.yaml ctr --dialect flink --continuous
"""

from __future__ import annotations

import argparse
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from easyrec.commands._print import count, line
from easyrec.commands._store import add_definitions, definitions
from easyrec.errors import ConfigError, nearest

if TYPE_CHECKING:
    from easyrec.store.definitions import StoreConfig
    from easyrec.stream.dialects import Sql

MINUTE = 60_000_000
"""Microseconds: how often a query that runs for ever makes a view's rows, unless told."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec stream sql`."""
    add_definitions(parser)
    parser.add_argument("name", metavar="NAME", help="a stream view, or samples")
    parser.add_argument("--dialect", default="duckdb", metavar="ENGINE", help="duckdb, spark or flink [duckdb]")
    parser.add_argument("--continuous", action="store_true", help="a query that runs for ever: of spark a program")
    parser.add_argument("--every", metavar="SPAN", help="of a view: its rows at the ends of spans, such as 1m or 1h")
    parser.add_argument("--at", metavar="TIME", help="of a view: its rows at a moment, UTC; default: at every change")
    parser.add_argument(
        "--table",
        action="append",
        default=[],
        metavar="EVENTS=TABLE",
        help="a table that holds `events` of a view, or `exposure` or a label's of samples; default: the source's files",
    )
    parser.add_argument("--output", metavar="FILE", help="parquet file to write: DuckDB runs it")


def run(args: argparse.Namespace) -> None:
    """Print the statement, or what it makes."""
    from easyrec.stream.dialects import dialect  # noqa: PLC0415 (help must not wait for it)

    config, sql = definitions(args), dialect(args.dialect)
    if args.at is not None and (args.every is not None or args.continuous):
        raise ConfigError("--at is of one moment: it goes with neither --every nor --continuous")
    if args.continuous and args.output is not None:
        raise ConfigError("--output is for what ends: it does not go with --continuous")
    statement = _said(config, args, sql)
    if args.output is None:
        line(statement)
        return
    if sql.name != "duckdb":
        raise ConfigError(f"--output is for what runs here: --dialect duckdb, not {sql.name}")
    from easyrec.stream.dialects.duckdb import write  # noqa: PLC0415 (an extra)

    line(f"{args.output}: {count(write(statement, args.output))} rows")


def _said(config: StoreConfig, args: argparse.Namespace, sql: Sql) -> str:
    from easyrec.stream.continuous import continuous  # noqa: PLC0415 (help must not wait for it)
    from easyrec.stream.sample_sql import sample_sql  # noqa: PLC0415 (help must not wait for it)
    from easyrec.stream.view_sql import view_sql  # noqa: PLC0415 (help must not wait for it)

    samples = {one.name: one for one in config.samples}
    streams = [view.name for view in config.views if view.stream is not None]
    if args.name in samples:
        if args.at is not None:
            raise ConfigError(f"--at is of views, and '{args.name}' are samples")
        if args.every is not None:
            raise ConfigError(f"--every is of views, and '{args.name}' are samples")
        kinds = ["exposure", *(label.name for label in samples[args.name].labels)]
        tables = _tables(args.table, kinds, sql)
        if args.continuous:
            return str(continuous(sql.name).sample_query(samples[args.name], tables))
        return sample_sql(samples[args.name], sql, tables)
    if args.name not in streams:
        known = [*streams, *samples]
        told = f"no stream view and no samples are called '{args.name}'{nearest(args.name, known)}"
        raise ConfigError(f"{told}; known: {', '.join(known) or 'none'}", args.config)
    table = _tables(args.table, ["events"], sql).get("events")
    every = None if args.every is None else _span(args.every)
    if args.continuous:
        return str(continuous(sql.name).view_query(config, args.name, every or MINUTE, table))
    at = None if args.at is None else _micros(args.at)
    return view_sql(config, args.name, sql, at=at, every=every, table=table)


def _tables(given: list[str], kinds: list[str], sql: Sql) -> dict[str, str]:
    """Tables by kind of events, quoted part by part."""
    found = {}
    for one in given:
        kind, equals, table = one.partition("=")
        if not equals or not table:
            raise ConfigError(f"--table takes EVENTS=TABLE such as {kinds[0]}=shop.log, not '{one}'")
        if kind not in kinds:
            raise ConfigError(
                f"--table: no events are called '{kind}'{nearest(kind, kinds)}; known: {', '.join(kinds)}"
            )
        found[kind] = ".".join(map(sql.quoted, table.split(".")))
    return found


def _micros(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--at takes a moment such as 2026-01-01T12:00, not '{text}'") from None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)
    return round(moment.timestamp() * 1e6)


def _span(text: str) -> int:
    from easyrec.store.duration import seconds_of  # noqa: PLC0415 (help must not wait for it)

    try:
        return round(float(seconds_of(text)) * 1e6)
    except ValueError as error:
        raise ConfigError(f"--every takes a span of time such as 1m: {error}") from None
