"""What people have found, beside what is judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from easyrec.errors import DataError
from easyrec.llm.items import rows_of
from easyrec.llm.tools._judge.comparing import LOST, TIE, WON, majorities
from easyrec.llm.tools._judge.config import Config, People
from easyrec.llm.tools._judge.units import Unit, key_of

PERSONS = 1000


@dataclass(frozen=True)
class Labels:
    """What people have found.

    Attributes:
        persons: Who they are.
        grades: By criterion (n, persons) of the answers, NaN: none.
        preferred: (P, persons), what they say of the first of a pair; NaN: nothing.
        strange: Rows about what is not judged here.
    """

    persons: list[str]
    grades: Mapping[str, np.ndarray] = field(repr=False)
    preferred: np.ndarray = field(repr=False)
    strange: int = 0

    @property
    def verdicts(self) -> np.ndarray:
        """(P,) what most persons who say something say of the first of a pair; a tie where as many say something else."""
        found = np.full(len(self.preferred), np.nan)
        for p, row in enumerate(self.preferred):
            there = row[~np.isnan(row)]
            if len(there):
                found[p] = majorities(there)
        return found


def labels_of(config: Config, units: Sequence[Unit], pairs: Sequence[tuple[Unit, Unit]]) -> Labels | None:
    """What people have found, where the config names a file.

    Raises:
        ConfigError: The table lacks a column.
        DataError: It cannot be read, a grade is none of the scale, or a person judges the same twice.
    """
    own = config.people
    if own is None:
        return None
    path = Path(own.path)
    graded, preferred = (
        bool(own.grades) and "grade" in config.how,
        own.preferred is not None and "compare" in config.how,
    )
    names = [config.id, *([own.person] if own.person else [])]
    if graded:
        names += [*([config.system] if config.system else []), *own.grades.values()]
    if preferred:
        names += [*(own.systems or ()), str(own.preferred)]
    place = {(unit.id, unit.system): n for n, unit in enumerate(units)}
    met = {(a.id, a.system, b.system): p for p, (a, b) in enumerate(pairs)}
    scales = {one.name: one.scale for one in config.rubric}
    persons: dict[str, int] = {}
    grades: dict[tuple[str, int, int], float] = {}
    verdicts: dict[tuple[int, int], float] = {}
    strange = 0
    for number, row in enumerate(rows_of(path, list(dict.fromkeys(names)), "judge.people"), 1):
        where = f"{path}, row {number}"
        who = persons.setdefault("" if own.person is None else str(row[own.person]), len(persons))
        if len(persons) > PERSONS:
            raise DataError(f"{path}: more than {PERSONS:,} persons")
        if graded:
            told = {name: row[column] for name, column in own.grades.items() if row[column] is not None}
            n = place.get(key_of(row, config, where)) if told else None
            strange += bool(told) and n is None
            for name, value in told.items() if n is not None else ():
                scale = scales[name]
                if not isinstance(value, int | float) or not min(scale) <= value <= max(scale):
                    raise DataError(f"{where}: '{own.grades[name]}' must be from {min(scale)} to {max(scale)}")
                _put(grades, (name, n, who), float(value), where)
        if preferred and row[str(own.preferred)] is not None:
            p, value = _verdict(row, config.id, own, met, where)
            strange += p is None
            if p is not None:
                _put(verdicts, (p, who), value, where)
    tables = {name: np.full((len(units), len(persons)), np.nan) for name in own.grades}
    for (name, n, who), value in grades.items():
        tables[name][n, who] = value
    table = np.full((len(pairs), len(persons)), np.nan)
    for (p, who), value in verdicts.items():
        table[p, who] = value
    return Labels(list(persons), tables, table, strange)


def _verdict(
    row: Mapping[str, Any], id_column: str, own: People, met: Mapping[tuple[str, str, str], int], where: str
) -> tuple[int | None, float]:
    """Which pair a row is about, and what it says of the first of it."""
    key, winner = str(row[id_column]), str(row[str(own.preferred)])
    a, b = (str(row[name]) for name in own.systems or ())
    if winner not in (a, b, "tie"):
        raise DataError(f"{where}: '{own.preferred}' must be '{a}', '{b}' or 'tie', but is '{winner}'")
    for first, second in ((a, b), (b, a)):
        if (key, first, second) in met:
            return met[key, first, second], TIE if winner == "tie" else WON if winner == first else LOST
    return None, TIE


def _put(table: dict[Any, float], key: Any, value: float, where: str) -> None:
    if key in table:
        raise DataError(f"{where}: the same person judges the same a second time; 'person' names the column of persons")
    table[key] = value
