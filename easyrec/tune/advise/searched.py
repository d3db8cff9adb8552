"""`Searched`: what a search of settings has found, as its folder tells it."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from easyrec.config.space import Parameter
from easyrec.errors import RunError
from easyrec.tune.outputs import TABLE
from easyrec.tune.search import Objective, Search, load_search
from feature_generator.config import Path_


@dataclass(frozen=True)
class Searched:
    """The trials of a search that ended.

    Attributes:
        path: Its folder.
        search: What was searched.
        trials: Point and value of the first objective of each, the best first.
    """

    path: Path
    search: Search
    trials: tuple[tuple[dict[str, Any], float], ...]

    @property
    def objective(self) -> Objective:
        """What it was searched for first."""
        return self.search.objectives[0]

    def settings(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The outermost spaces with what a point has in their places."""
        raw = self.search.experiment(values).document.raw
        found = {}
        for parameter in self.search.parameters:
            if not parameter.given:
                found[parameter.name] = at(raw, parameter.path)
        return found


def at(raw: Any, path: Path_) -> Any:
    """What a config has at a place; None where that is nothing."""
    for step in path:
        if isinstance(raw, Mapping):
            raw = raw.get(str(step))
        else:
            raw = raw[step] if isinstance(raw, list) and isinstance(step, int) and step < len(raw) else None
    return raw


def read_searched(path: Path) -> Searched | None:
    """The search in a folder; None where no trial of it has ended.

    Raises:
        RunError: There is none.
    """
    table = path / TABLE
    if not table.is_file():
        raise RunError(f"{path}: holds no search, as it has no {TABLE}")
    search = load_search(path, corners=False, given=("train", "valid"))
    first = search.objectives[0]
    with table.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["state"] == "complete" and row[first.name]]
    trials = [
        ({p.name: _value(p, row[p.name]) for p in search.parameters if row[p.name]}, float(row[first.name]))
        for row in rows
    ]
    trials.sort(key=lambda trial: trial[1], reverse=first.higher_is_better)
    return Searched(path, search, tuple(trials)) if trials else None


def _value(parameter: Parameter, text: str) -> Any:
    return text if parameter.kind == "choice" else parameter.number(float(text))
