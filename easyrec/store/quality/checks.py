"""What checks found, and the baselines that they compare with: tables beside those of the registry."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

from easyrec.databases import open_file
from easyrec.errors import StoreError
from easyrec.store import registry
from easyrec.store.postgres import Postgres
from easyrec.store.quality.counts import Baseline

Status: TypeAlias = Literal["passed", "failed", "warned", "set aside", "skipped"]
T = TypeVar("T")
COLUMNS = {
    "checks": "project TEXT NOT NULL, view TEXT NOT NULL, at DOUBLE PRECISION NOT NULL, verdict TEXT NOT NULL, "
    "checked TEXT NOT NULL",
    "baselines": "project TEXT NOT NULL, view TEXT NOT NULL, field TEXT NOT NULL, at DOUBLE PRECISION NOT NULL, "
    "baseline TEXT NOT NULL, PRIMARY KEY (project, view, field)",
}
INDEX = "CREATE INDEX IF NOT EXISTS checks_at ON checks (project, view, at)"
ADD = "INSERT INTO {checks} VALUES (%s, %s, %s, %s, %s)"
LATEST = "SELECT checked FROM {checks} WHERE project = %s AND view = %s ORDER BY at DESC LIMIT %s"
KNOWN = "SELECT field, baseline FROM {baselines} WHERE project = %s AND view = %s"
SET = (
    "INSERT INTO {baselines} VALUES (%s, %s, %s, %s, %s) ON CONFLICT (project, view, field) "
    "DO UPDATE SET at = excluded.at, baseline = excluded.baseline"
)


@dataclass(frozen=True)
class Result:
    """What became of one expectation.

    Attributes:
        expected: In a few words.
        type: Of the expectation.
        field: Of the view; empty: it is of all.
        status: What became of it.
        found: Share of rows that are otherwise, index, age in seconds, or rows.
        bound: What `found` may be.
        rows: Rows that are otherwise.
        note: What else there is to say.
    """

    expected: str
    type: str
    field: str
    status: Status
    found: float | None
    bound: float | None
    rows: int = 0
    note: str = ""


@dataclass(frozen=True)
class Checked:
    """What became of rows.

    Attributes:
        view: Whose.
        at: Seconds since 1970.
        why: `publish`, or `check` where nothing was published.
        verdict: `passed`, `warned`, or `failed`: nothing is published.
        rows: How many came.
        set_aside: How many of them are not published.
        file: Where those are; empty: there are none.
        results: One for each expectation.
    """

    view: str
    at: float
    why: Literal["publish", "check"]
    verdict: Literal["passed", "warned", "failed"]
    rows: int
    set_aside: int
    file: str
    results: list[Result]

    @property
    def failed(self) -> list[Result]:
        """Why it failed."""
        return [result for result in self.results if result.status == "failed"]

    def told(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


class Checks:
    """What was found of the views of a project.

    Args:
        place: The registry: a file, or the address of a database.
        project: Whose views.
    """

    def __init__(self, place: Path | str, project: str) -> None:
        self.project = project
        self._tables: _Tables = _InPostgres(place) if registry.is_address(place) else _InFile(Path(place))

    def add(self, checked: Checked) -> None:
        """Keep what was found."""
        row = (self.project, checked.view, checked.at, checked.verdict, json.dumps(checked.told()))
        self._tables.run(ADD, row)

    def latest(self, view: str, most: int = 20) -> list[Checked]:
        """What was found of a view, the latest first."""
        rows = self._tables.rows(LATEST, (self.project, view, most))
        return [_checked(json.loads(row[0])) for row in rows]

    def baselines(self, view: str) -> dict[str, Baseline]:
        """The baselines of a view, by field."""
        rows = self._tables.rows(KNOWN, (self.project, view))
        return {field: Baseline(**json.loads(text)) for field, text in rows}

    def set_baseline(self, view: str, field: str, baseline: Baseline, at: float) -> None:
        """Compare a field with this from now on."""
        self._tables.run(SET, (self.project, view, field, at, json.dumps(baseline.told())))


class _Tables(ABC):
    """Where it lies."""

    @abstractmethod
    def run(self, statement: str, values: Sequence[Any]) -> None:
        """Change something."""

    @abstractmethod
    def rows(self, statement: str, values: Sequence[Any]) -> list[Any]:
        """Read something."""


class _InFile(_Tables):
    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, statement: str, values: Sequence[Any]) -> None:
        self._with(lambda db: db.execute(self._said(statement), values))

    def rows(self, statement: str, values: Sequence[Any]) -> list[Any]:
        if not self.path.exists():
            return []
        return self._with(lambda db: db.execute(self._said(statement), values).fetchall())

    @staticmethod
    def _said(statement: str) -> str:
        return statement.format_map({name: name for name in COLUMNS}).replace("%s", "?")

    def _with(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            opened = open_file(self.path, registry.APPLICATION, registry.VERSION, registry.TABLES, registry.PATIENCE_S)
            with contextlib.closing(opened) as db:
                for name, columns in COLUMNS.items():
                    db.execute(f"CREATE TABLE IF NOT EXISTS {name} ({columns})")
                db.execute(INDEX)
                return work(db)
        except sqlite3.Error as error:
            raise StoreError(f"{self.path} cannot be used: {error}") from error


class _InPostgres(_Tables):
    def __init__(self, url: str) -> None:
        self.url = url

    def run(self, statement: str, values: Sequence[Any]) -> None:
        self._with(lambda db: db.execute(self._said(statement), values))

    def rows(self, statement: str, values: Sequence[Any]) -> list[Any]:
        return self._with(lambda db: db.execute(self._said(statement), values).fetchall())

    @staticmethod
    def _said(statement: str) -> str:
        return statement.format_map({name: f"easyrec_{name}" for name in COLUMNS})

    def _with(self, work: Callable[[Any], T]) -> T:
        tables = {f"easyrec_{name}": f"CREATE TABLE easyrec_{name} ({columns})" for name, columns in COLUMNS.items()}
        with contextlib.closing(Postgres(self.url, registry.PATIENCE_S, tables)) as database:
            return database.run(work)


def _checked(data: dict[str, Any]) -> Checked:
    return Checked(**{**data, "results": [Result(**result) for result in data["results"]]})
