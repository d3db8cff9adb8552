"""Samples as SQL: what the joiner makes of events that all have come, as one statement for an engine."""

# ruff: noqa: S608 (statements are made of quoted names and of numbers)

from __future__ import annotations

from collections.abc import Mapping

from easyrec.store.samples import CORRECTION, Label, SampleConfig
from easyrec.stream.dialects import NAME, TIME, Sql
from easyrec.stream.joiner import EXPOSURE


def sample_sql(
    config: SampleConfig, sql: Sql, tables: Mapping[str, str] | None = None, *, between: tuple[str, str] | None = None
) -> str:
    """The SELECT of samples.

    Features that a joiner reads from the online store are not among its columns: they are joined by time, as
    `easyrec store training-set` does.

    Args:
        config: What is joined.
        sql: The engine's.
        tables: By `exposure` or a label's name, a table that holds the events; else they are in the source's files.
        between: Of which exposures: the least time, and the one that all are before, in words of the engine.

    Raises:
        ConfigError: Events are not in files, and no table is named.
    """
    named = dict(tables or {})
    needed = list(dict.fromkeys(config.keys))
    parts = [f"exposure AS (\n  {sql.events(config.exposures, needed, named.get(EXPOSURE))}\n)"]
    for label in config.labels:
        own = sql.quoted(label.name)
        events = sql.events(label, config.keys_of(label), named.get(label.name))
        parts.append(f"{sql.quoted(f'{label.name} events')} AS (\n  {events}\n)")
        parts.append(f"{own} AS (\n  {_matched(config, label, sql)}\n)")
        bound = f" WHERE {TIME} <= __et + {config.wait_micros}" if config.late == "drop" else ""
        first = f"SELECT __e, __et, min({TIME}) AS __first FROM {own}{bound} GROUP BY __e, __et"
        parts.append(f"{sql.quoted(f'{label.name} first')} AS (\n  {first}\n)")
    chosen = [f"e.{sql.quoted(name)} AS {sql.quoted(name)}" for name in config.exposures.kept]
    joins = []
    for place, label in enumerate(config.labels):
        first = f"l{place}.__first"
        chosen.append(f"CASE WHEN {first} IS NULL THEN 0 ELSE 1 END AS {sql.quoted(label.name)}")
        chosen.append(f"{sql.timestamp(first)} AS {sql.quoted(f'{label.name}_time')}")
        table = sql.quoted(f"{label.name} first")
        joins.append(f"LEFT JOIN {table} l{place} ON l{place}.__e = e.{NAME} AND l{place}.__et = e.{TIME}")
    chosen.append(f"FALSE AS {sql.quoted(CORRECTION)}")
    lines = ",\n".join(parts)
    columns = ",\n  ".join(chosen)
    if between is not None:
        joins.append(f"WHERE e.{TIME} >= {between[0]} AND e.{TIME} < {between[1]}")
    return sql.script(f"WITH {lines}\nSELECT\n  {columns}\nFROM exposure e\n" + "\n".join(joins))


def _matched(config: SampleConfig, label: Label, sql: Sql) -> str:
    """Events of a label with the exposure that they follow: `__e` and `__et`, its name and time."""
    parent = "exposure" if label.of is None else sql.quoted(label.of)
    exposure = (f"p.{NAME}", f"p.{TIME}") if label.of is None else ("p.__e", "p.__et")
    keys = config.keys_of(label)
    above = config.exposures if label.of is None else config.label(label.of)
    same = [f"c.{sql.quoted(key)} = p.{sql.quoted(key)}" for key in keys if label.columns[key] == above.columns[key]]
    text = sql.kind("string")  # the same id may be a number here and a text there
    mixed = [key for key in keys if label.columns[key] != above.columns[key]]
    same += [f"CAST(c.{sql.quoted(key)} AS {text}) = CAST(p.{sql.quoted(key)} AS {text})" for key in mixed]
    within = [f"p.{TIME} <= c.{TIME}", f"p.{TIME} >= c.{TIME} - {label.window_micros}"]
    columns = ", ".join(f"c.{sql.quoted(name)}" for name in label.columns)
    latest = f"ROW_NUMBER() OVER (PARTITION BY c.{NAME}, c.{TIME} ORDER BY p.{TIME} DESC, p.{NAME} DESC) AS __r"
    joined = (
        f"SELECT {columns}, c.{TIME}, c.{NAME}, {exposure[0]} AS __e, {exposure[1]} AS __et, {latest}\n"
        f"  FROM {sql.quoted(f'{label.name} events')} c JOIN {parent} p ON {' AND '.join([*same, *within])}"
    )
    plain = ", ".join(map(sql.quoted, label.columns))
    return f"SELECT {plain}, {TIME}, {NAME}, __e, __et FROM (\n  {joined}\n  ) AS __joined WHERE __r = 1"
