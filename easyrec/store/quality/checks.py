"""What checks found, and the baselines that they compare with: tables in the file of the registry."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from easyrec.errors import StoreError
from easyrec.store import registry
from easyrec.store.files import open_file
from easyrec.store.quality.counts import Baseline

Status: TypeAlias = Literal["passed", "failed", "warned", "set aside", "skipped"]
TABLES = (
    "CREATE TABLE IF NOT EXISTS checks (project TEXT NOT NULL, view TEXT NOT NULL, at REAL NOT NULL, "
    "verdict TEXT NOT NULL, checked TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS checks_at ON checks (project, view, at)",
    "CREATE TABLE IF NOT EXISTS baselines (project TEXT NOT NULL, view TEXT NOT NULL, field TEXT NOT NULL, "
    "at REAL NOT NULL, baseline TEXT NOT NULL, PRIMARY KEY (project, view, field))",
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
        place: File of the registry.
        project: Whose views.

    Raises:
        StoreError: The registry is no file.
    """

    def __init__(self, place: str | Path, project: str) -> None:
        if "://" in str(place):
            raise StoreError("verdicts on rows are kept in a registry that is a file: registry: registry.db")
        self.path, self.project = Path(place), project

    def add(self, checked: Checked) -> None:
        """Keep what was found."""
        row = (self.project, checked.view, checked.at, checked.verdict, json.dumps(checked.told()))
        with self._opened() as db:
            db.execute("INSERT INTO checks VALUES (?, ?, ?, ?, ?)", row)

    def latest(self, view: str, most: int = 20) -> list[Checked]:
        """What was found of a view, the latest first."""
        if not self.path.exists():
            return []
        query = "SELECT checked FROM checks WHERE project = ? AND view = ? ORDER BY at DESC LIMIT ?"
        with self._opened() as db:
            rows = db.execute(query, (self.project, view, most)).fetchall()
        return [_checked(json.loads(row[0])) for row in rows]

    def baselines(self, view: str) -> dict[str, Baseline]:
        """The baselines of a view, by field."""
        if not self.path.exists():
            return {}
        query = "SELECT field, baseline FROM baselines WHERE project = ? AND view = ?"
        with self._opened() as db:
            return {field: Baseline(**json.loads(text)) for field, text in db.execute(query, (self.project, view))}

    def set_baseline(self, view: str, field: str, baseline: Baseline, at: float) -> None:
        """Compare a field with this from now on."""
        row = (self.project, view, field, at, json.dumps(baseline.told()))
        with self._opened() as db:
            db.execute("INSERT OR REPLACE INTO baselines VALUES (?, ?, ?, ?, ?)", row)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            opened = open_file(self.path, registry.APPLICATION, registry.VERSION, registry.TABLES, registry.PATIENCE_S)
            with contextlib.closing(opened) as db:
                for statement in TABLES:
                    db.execute(statement)
                yield db
        except sqlite3.Error as error:
            raise StoreError(f"{self.path} cannot be used: {error}") from error


def _checked(data: dict[str, Any]) -> Checked:
    return Checked(**{**data, "results": [Result(**result) for result in data["results"]]})
