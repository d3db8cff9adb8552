"""The registry: which definitions of a project were applied, one after another."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeGuard

from easyrec.databases import open_file, transaction
from easyrec.errors import StoreError
from easyrec.store.changes import Change, changes
from easyrec.store.definitions import StoreConfig, load_store
from easyrec.store.postgres import LOCK, Postgres

APPLICATION = 0x65617375
"""Marks a file of ours: `PRAGMA application_id`."""
VERSION = 1
TABLES = (
    "CREATE TABLE versions (project TEXT NOT NULL, number INTEGER NOT NULL, hash TEXT NOT NULL, applied REAL NOT NULL, "
    "note TEXT NOT NULL, definitions TEXT NOT NULL, PRIMARY KEY (project, number))",
)
INSERT = "INSERT INTO versions VALUES (:project, :number, :hash, :applied, :note, :definitions)"
SELECT = "SELECT number, hash, applied, note, definitions FROM versions WHERE project = ? ORDER BY number"
PATIENCE_S = 30.0
SCHEMES = ("postgresql://", "postgres://")
POSTGRES_TABLES = {
    "easyrec_versions": "CREATE TABLE easyrec_versions (project text NOT NULL, number integer NOT NULL, hash text NOT NULL, "
    "applied double precision NOT NULL, note text NOT NULL, definitions text NOT NULL, PRIMARY KEY (project, number))",
}
POSTGRES_INSERT = (
    "INSERT INTO easyrec_versions VALUES (%(project)s, %(number)s, %(hash)s, %(applied)s, %(note)s, %(definitions)s)"
)
POSTGRES_SELECT = (
    "SELECT number, hash, applied, note, definitions FROM easyrec_versions WHERE project = %s ORDER BY number"
)


@dataclass(frozen=True)
class Version:
    """Definitions that were applied.

    Attributes:
        number: From 1.
        hash: SHA-256 of the definitions, whatever their order of keys.
        applied: Seconds since 1970.
        note: What was said of it.
        definitions: As JSON.
    """

    number: int
    hash: str
    applied: float
    note: str
    definitions: str

    @property
    def config(self) -> StoreConfig:
        """The definitions.

        Raises:
            ConfigError: This version of the program does not take them any more.
        """
        return load_store(json.loads(self.definitions))


Decide = Callable[[list[Version]], Version | None]
"""The version that follows some others; None: none."""


def is_address(place: Path | str) -> TypeGuard[str]:
    """Whether a registry is a database, and no file."""
    return isinstance(place, str) and place.startswith(SCHEMES)


class Registry:
    """Versions of definitions, for any number of projects and processes.

    Args:
        place: A file, which is made where it is not there, or `postgresql://user:password@host/database`.
        clock: Seconds since 1970.
    """

    def __init__(self, place: Path | str, clock: Callable[[], float] = time.time) -> None:
        self._versions: _Versions = _InPostgres(place) if is_address(place) else _InFile(Path(place))
        self.clock = clock

    def versions(self, project: str) -> list[Version]:
        """All versions of a project, the latest last.

        Raises:
            StoreError: The file or the database cannot be used.
        """
        return self._versions.of(project)

    def latest(self, project: str) -> Version | None:
        """The version that holds; None: nothing was applied yet."""
        found = self.versions(project)
        return found[-1] if found else None

    def diff(self, config: StoreConfig) -> list[Change]:
        """What would change if these definitions were applied."""
        latest = self.latest(config.project)
        return changes(None if latest is None else latest.config, config)

    def apply(self, config: StoreConfig, *, note: str = "", force: bool = False) -> tuple[Version, list[Change]]:
        """Let definitions hold from now on. Those that hold already make no new version.

        Passwords are not kept.

        Args:
            config: The definitions.
            note: What to say of them.
            force: Take also what breaks those who read.

        Returns:
            The version that holds, and what changed.

        Raises:
            StoreError: Something breaks those who read, or the file or the database cannot be used.
        """
        text = json.dumps(config.written(), sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        found: list[Change] = []

        def decide(known: list[Version]) -> Version | None:
            if known and known[-1].hash == digest:
                return None
            found[:] = changes(known[-1].config if known else None, config)
            breaking = [change for change in found if change.breaks]
            if breaking and not force:
                told = "\n".join(f"  {change.what}: {change.kind}; {change.breaks}" for change in breaking)
                raise StoreError(f"project '{config.project}': this breaks those who read, so it needs --force\n{told}")
            return Version(len(known) + 1, digest, self.clock(), note, text)

        return self._versions.follow(config.project, decide), found


class _Versions(ABC):
    """Where versions lie."""

    @abstractmethod
    def of(self, project: str) -> list[Version]:
        """All of a project, the latest last."""

    @abstractmethod
    def follow(self, project: str, decide: Decide) -> Version:
        """The version that holds after something was decided; nobody else decides meanwhile."""


class _InFile(_Versions):
    def __init__(self, path: Path) -> None:
        self.path = path

    def of(self, project: str) -> list[Version]:
        found: list[Version] = self._run(lambda db: _rows(db, SELECT, [project])) if self.path.exists() else []
        return found

    def follow(self, project: str, decide: Decide) -> Version:
        def follow(db: sqlite3.Connection) -> Version:
            with transaction(db):
                known = _rows(db, SELECT, [project])
                made = decide(known)
                if made is not None:
                    db.execute(INSERT, {"project": project, **asdict(made)})
            return made or known[-1]

        found: Version = self._run(follow)
        return found

    def _run(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        try:
            with contextlib.closing(open_file(self.path, APPLICATION, VERSION, TABLES, PATIENCE_S)) as db:
                return work(db)
        except sqlite3.Error as error:
            raise StoreError(f"{self.path} cannot be used: {error}") from error


class _InPostgres(_Versions):
    def __init__(self, url: str) -> None:
        self.url = url

    def of(self, project: str) -> list[Version]:
        found: list[Version] = self._run(lambda db: _rows(db, POSTGRES_SELECT, [project]))
        return found

    def follow(self, project: str, decide: Decide) -> Version:
        def follow(db: Any) -> Version:
            with db.transaction():
                db.execute("SELECT pg_advisory_xact_lock(%s, -2)", [LOCK])
                known = _rows(db, POSTGRES_SELECT, [project])
                made = decide(known)
                if made is not None:
                    db.execute(POSTGRES_INSERT, {"project": project, **asdict(made)})
            return made or known[-1]

        found: Version = self._run(follow)
        return found

    def _run(self, work: Callable[[Any], Any]) -> Any:
        with contextlib.closing(Postgres(self.url, PATIENCE_S, POSTGRES_TABLES)) as database:
            return database.run(work)


def _rows(db: Any, statement: str, values: list[str]) -> list[Version]:
    return [Version(*row) for row in db.execute(statement, values)]
