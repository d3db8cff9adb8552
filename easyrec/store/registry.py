"""The registry: which definitions of a project were applied, one after another."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from easyrec.errors import StoreError
from easyrec.store.changes import Change, changes
from easyrec.store.definitions import StoreConfig, load_store
from easyrec.store.files import open_file

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


class Registry:
    """Versions of definitions in a file, for any number of projects and processes.

    Args:
        path: The file; it is made where it is not there.
        clock: Seconds since 1970.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path, self.clock = path, clock

    def versions(self, project: str) -> list[Version]:
        """All versions of a project, the latest last."""
        if not self.path.exists():
            return []
        with self._opened() as db:
            return _versions(db, project)

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

        Args:
            config: The definitions.
            note: What to say of them.
            force: Take also what breaks those who read.

        Returns:
            The version that holds, and what changed.

        Raises:
            StoreError: Something breaks those who read, or the file cannot be used.
        """
        text = json.dumps(config.model_dump(), sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        with self._opened() as db:
            db.execute("BEGIN IMMEDIATE")
            known = _versions(db, config.project)
            if known and known[-1].hash == digest:
                db.execute("COMMIT")
                return known[-1], []
            found = changes(known[-1].config if known else None, config)
            breaking = [change for change in found if change.breaks]
            if breaking and not force:
                db.execute("ROLLBACK")
                told = "\n".join(f"  {change.what}: {change.kind}; {change.breaks}" for change in breaking)
                raise StoreError(f"project '{config.project}': this breaks those who read, so it needs --force\n{told}")
            made = Version(len(known) + 1, digest, self.clock(), note, text)
            db.execute(INSERT, {"project": config.project, **asdict(made)})
            db.execute("COMMIT")
            return made, found

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            with contextlib.closing(open_file(self.path, APPLICATION, VERSION, TABLES, PATIENCE_S)) as db:
                yield db
        except sqlite3.Error as error:
            raise StoreError(f"{self.path} cannot be used: {error}") from error


def _versions(db: sqlite3.Connection, project: str) -> list[Version]:
    return [Version(*row) for row in db.execute(SELECT, (project,))]
