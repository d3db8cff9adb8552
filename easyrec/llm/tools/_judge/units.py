"""What is judged: the rows of a table, as texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from easyrec.errors import ConfigError, DataError
from easyrec.llm.items import rows_of
from easyrec.llm.telling import seen
from easyrec.llm.templates import columns_of, filled
from easyrec.llm.tools._judge.config import Config

MOST = 1_000_000
"""Rows that are read."""


@dataclass(frozen=True)
class Unit:
    """An answer.

    Attributes:
        id: What it answers.
        system: Whose it is; empty where there is one.
        given: What it was made of, by name.
        shown: What it says, by name.
        length: Letters of what it says, before it was cut.
    """

    id: str
    system: str
    given: dict[str, str] = field(repr=False)
    shown: dict[str, str] = field(repr=False)
    length: int = 0


def units_of(config: Config) -> list[Unit]:
    """What is judged, in the order of the table.

    Raises:
        ConfigError: The table lacks a column.
        DataError: It cannot be read, has no rows or too many, or a system answers twice.
    """
    path = Path(config.input)
    templates = [*config.given.values(), *config.shown.values()]
    own = [config.id, *([config.system] if config.system else [])]
    wanted = list(dict.fromkeys([*own, *(name for one in templates for name in columns_of(one))]))
    found: dict[tuple[str, str], Unit] = {}
    for number, row in enumerate(rows_of(path, wanted, "judge"), 1):
        if number > MOST:
            raise DataError(f"{path}: has more than {MOST:,} rows")
        key = key_of(row, config, f"{path}, row {number}")
        if key in found:
            whose = f" of '{key[1]}'" if key[1] else ""
            raise DataError(f"{path}, row {number}: a second answer to '{key[0]}'{whose}")
        shown = {name: filled(one, row) for name, one in config.shown.items()}
        given = {name: _cut(filled(one, row), config.longest) for name, one in config.given.items()}
        length = sum(map(len, shown.values()))
        found[key] = Unit(*key, given, {name: _cut(text, config.longest) for name, text in shown.items()}, length)
    if not found:
        raise DataError(f"{path}: has no rows")
    return _drawn(list(found.values()), config)


def key_of(row: dict[str, Any], config: Config, where: str) -> tuple[str, str]:
    """The id and the system of a row.

    Raises:
        DataError: One of them is missing.
    """
    for name in (config.id, config.system):
        if name is not None and row[name] is None:
            raise DataError(f"{where}: '{name}' is missing")
    return str(row[config.id]), "" if config.system is None else str(row[config.system])


def _drawn(units: Sequence[Unit], config: Config) -> list[Unit]:
    """Those of as many ids as are wanted."""
    ids = list(dict.fromkeys(unit.id for unit in units))
    if config.sample is None or config.sample >= len(ids):
        return list(units)
    kept = {ids[at] for at in np.random.default_rng(config.seed).permutation(len(ids))[: config.sample]}
    return [unit for unit in units if unit.id in kept]


def _cut(text: str, longest: int) -> str:
    text = seen(text)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def controls_of(units: Sequence[Unit], config: Config) -> list[tuple[Unit, Unit]]:
    """Answers, each with the one that stands in its place: of the same system, to another id."""
    by_system: dict[str, list[Unit]] = {}
    for unit in units:
        by_system.setdefault(unit.system, []).append(unit)
    pairs = []
    random = np.random.default_rng(config.seed + 1)
    for some in by_system.values():
        turned = [some[at] for at in random.permutation(len(some))]
        pairs += [(a, b) for a, b in zip(turned, turned[1:] + turned[:1], strict=True) if a.shown != b.shown]
    kept = random.permutation(len(pairs))[: config.controls]
    return [(pairs[at][0], replace(pairs[at][0], shown=pairs[at][1].shown)) for at in kept]


def systems_of(units: Sequence[Unit], config: Config) -> list[str]:
    """The systems, in the order of the table.

    Raises:
        ConfigError: There is nothing to compare.
    """
    systems = list(dict.fromkeys(unit.system for unit in units))
    if "compare" in config.how:
        if len(systems) < 2:
            raise ConfigError(f"judge: {config.input} has one system in '{config.system}': there is nothing to compare")
        baseline = config.compare.baseline
        if baseline is not None and baseline not in systems:
            raise ConfigError(
                f"judge.compare.baseline: there is no system '{baseline}'; there are: {', '.join(systems)}"
            )
        if "tie" in systems:
            raise ConfigError("judge: a system is called 'tie', which is what verdicts say where neither is better")
    return systems
