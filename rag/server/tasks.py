"""`Tasks`: what is to become of the files that came, in one database: none is lost when the server dies.

held -> waiting -> running -> done | failed, and cancelled before it runs. A task that was running when a server died is
waiting again at the next start: what a knowledge base has taken in already is not paid for twice.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from easyrec.databases import open_file, told_of, transaction

APPLICATION, VERSION = 0x65617274, 1
PATIENCE_S = 30.0
TOGETHER = 64
"""Files of an upload that are taken in at once."""
State = Literal["held", "waiting", "running", "done", "failed", "cancelled"]
OPEN = ("held", "waiting", "running")
TABLES = (
    "CREATE TABLE tasks (id INTEGER PRIMARY KEY AUTOINCREMENT, base TEXT NOT NULL, user TEXT NOT NULL, source TEXT NOT NULL,"
    " file TEXT NOT NULL, bytes INTEGER NOT NULL, facts TEXT NOT NULL, sees TEXT NOT NULL, state TEXT NOT NULL, stage TEXT NOT NULL DEFAULT '',"
    " share REAL NOT NULL DEFAULT 0, error TEXT NOT NULL DEFAULT '', report TEXT NOT NULL DEFAULT '{}',"
    " created REAL NOT NULL, changed REAL NOT NULL)",
    "CREATE INDEX tasks_by_state ON tasks (state, id)",
    "CREATE INDEX tasks_of_base ON tasks (base, id)",
    "CREATE TABLE files (base TEXT NOT NULL, source TEXT NOT NULL, user TEXT NOT NULL, file TEXT NOT NULL,"
    " bytes INTEGER NOT NULL, PRIMARY KEY (base, source)) WITHOUT ROWID",
)
COLUMNS = "id, base, user, source, file, bytes, facts, sees, state, stage, share, error, report, created, changed"


@dataclass(frozen=True)
class Task:
    """A file that came.

    Attributes:
        id: Its number.
        base: The knowledge base that it is for.
        user: Who sent it.
        source: What the document is called.
        file: Where its file lies, below the folder of files.
        bytes: Of the file.
        facts: What is known of it.
        sees: The names by which who sent it sees documents; None: they see all.
        state: What became of it.
        stage: What is done with it.
        share: How much of that, from 0 to 1.
        error: Why it failed.
        report: What came of it.
        created: Seconds since 1970.
        changed: Likewise.
    """

    id: int
    base: str
    user: str
    source: str
    file: str
    bytes: int
    facts: dict[str, Any]
    sees: list[str] | None
    state: State
    stage: str
    share: float
    error: str
    report: dict[str, Any]
    created: float
    changed: float


class Tasks:
    """The database. Any thread may use it.

    Args:
        path: The file.
        keep: Tasks that are remembered when they are done.
        now: Seconds since 1970.

    Attributes:
        putting: Held by who looks whether there is room and then adds.

    Raises:
        StoreError: It cannot be opened, or is something else.
    """

    def __init__(self, path: Path, keep: int, now: Callable[[], float] = time.time) -> None:
        self.path, self._keep, self._now = path, keep, now
        self._lock = threading.RLock()
        self.putting = threading.Lock()
        with told_of(self.path):
            self._db = open_file(path, APPLICATION, VERSION, TABLES, PATIENCE_S)
            self._db.execute("PRAGMA synchronous = FULL")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    # --------------------------------------------------------------------------------------------- reading

    def task(self, number: int) -> Task | None:
        """A task by its number."""
        return next(iter(self._tasks("WHERE id = ?", (number,))), None)

    def of(self, base: str, most: int, offset: int = 0, user: str | None = None) -> list[Task]:
        """The latest tasks of a knowledge base, the last one first.

        Args:
            base: Which.
            most: How many.
            offset: How many to leave out before.
            user: Who sent them; None: anybody.
        """
        clause, told = "WHERE base = ?", [base]
        if user is not None:
            clause, told = f"{clause} AND user = ?", [base, user]
        return self._tasks(f"{clause} ORDER BY id DESC LIMIT ? OFFSET ?", (*told, most, offset))

    def counts(self) -> dict[str, int]:
        """How many tasks there are in each state."""
        return dict(self._ask("SELECT state, count(*) FROM tasks GROUP BY state", ()))

    def used(self, user: str, base: str = "", more: Mapping[str, int] | None = None) -> tuple[int, int]:
        """Documents and bytes that a user has put in, those on their way among them.

        A file that is to take the place of another one is not one more; but several that wait to do so are all on the disk.

        Args:
            user: Who.
            base: A knowledge base.
            more: Documents that were to come to it besides, and the bytes of their files.
        """
        kept = dict(self._sizes("SELECT base, source, bytes FROM files WHERE user = ?", user))
        waits = "user = ? AND state IN ('held', 'waiting', 'running') GROUP BY base, source"
        coming = dict(self._sizes(f"SELECT base, source, sum(bytes) FROM tasks WHERE {waits}", user))  # noqa: S608 (ours)
        for source, size in (more or {}).items():
            coming[base, source] = coming.get((base, source), 0) + size
        documents = kept.keys() | coming.keys()
        return len(documents), sum(max(kept.get(one, 0), coming.get(one, 0)) for one in documents)

    def kept(self, user: str, base: str) -> int:
        """Bytes of the files of a knowledge base that a user has put in."""
        ((size,),) = self._ask("SELECT coalesce(sum(bytes), 0) FROM files WHERE user = ? AND base = ?", (user, base))
        return int(size)

    def _sizes(self, statement: str, user: str) -> Iterator[tuple[tuple[str, str], int]]:
        for base, source, size in self._ask(statement, (user,)):
            yield (base, source), size

    def file(self, base: str, source: str) -> str | None:
        """Where the file of a document lies, if it was put in here."""
        rows = self._ask("SELECT file FROM files WHERE base = ? AND source = ?", (base, source))
        return rows[0][0] if rows else None

    def all_files(self) -> set[str]:
        """Every file that a document or a task needs."""
        rows = self._ask(
            "SELECT file FROM files UNION SELECT file FROM tasks WHERE state IN ('held', 'waiting', 'running')", ()
        )
        return {row[0] for row in rows}

    def _tasks(self, clause: str, values: Sequence[Any]) -> list[Task]:
        rows = self._ask(f"SELECT {COLUMNS} FROM tasks {clause}", values)  # noqa: S608 (ours)
        found = []
        for row in rows:
            held: list[Any] = list(row)
            for place in (6, 7, 12):
                held[place] = json.loads(held[place])
            found.append(Task(*held))
        return found

    # --------------------------------------------------------------------------------------------- writing

    def add(
        self,
        base: str,
        user: str,
        files: Sequence[tuple[str, str, int]],
        facts: dict[str, Any],
        sees: Sequence[str] | None,
        state: State,
    ) -> list[int]:
        """Note files that came; they are on the disk already.

        Args:
            base: What they are for.
            user: Who sent them.
            files: What each document is called, where its file lies, and its bytes.
            facts: What is known of all of them.
            sees: The names by which who sent them sees documents; None: they see all.
            state: `held` or `waiting`.
        """
        now, told = self._now(), json.dumps(facts, ensure_ascii=False)
        names = json.dumps(None if sees is None else list(sees))
        with self._writing():
            return [
                int(
                    self._db.execute(
                        "INSERT INTO tasks (base, user, source, file, bytes, facts, sees, state, created, changed)"
                        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        (base, user, source, file, size, told, names, state, now, now),
                    ).lastrowid
                    or 0
                )
                for source, file, size in files
            ]

    def resume(self) -> int:
        """Let what was running when a server ended wait again; says how many there were."""
        with self._writing():
            return self._db.execute(
                "UPDATE tasks SET state = 'waiting', stage = '', share = 0 WHERE state = 'running'"
            ).rowcount

    def take(self) -> list[Task]:
        """The next task that waits, of a knowledge base of which none runs, and others of its upload; they run now."""
        with self._writing():
            rows = self._db.execute(
                "SELECT id, base, facts, sees, substr(file, 1, instr(file, '/')) FROM tasks WHERE state = 'waiting'"
                " AND base NOT IN (SELECT base FROM tasks WHERE state = 'running') ORDER BY id LIMIT 1"
            ).fetchall()
            if not rows:
                return []
            first, *same = rows[0]
            found = self._tasks(
                "WHERE state = 'waiting' AND id >= ? AND base = ? AND facts = ? AND sees = ?"
                " AND substr(file, 1, instr(file, '/')) = ? ORDER BY id LIMIT ?",
                (first, *same, TOGETHER),
            )
            self._db.executemany(
                "UPDATE tasks SET state = 'running', stage = 'read', share = 0, changed = ? WHERE id = ?",
                [(self._now(), task.id) for task in found],
            )
            return found

    def move(self, number: int, state: State, among: Sequence[State], error: str = "") -> bool:
        """Let a task be in another state, if it is in one of these; says whether it was."""
        with self._writing():
            marks = ",".join("?" * len(among))
            return bool(
                self._db.execute(
                    f"UPDATE tasks SET state = ?, error = ?, changed = ? WHERE id = ? AND state IN ({marks})",  # noqa: S608 (marks alone)
                    (state, error[:2000], self._now(), number, *among),
                ).rowcount
            )

    def note(self, number: int, stage: str, share: float) -> None:
        """How far a task is."""
        with self._writing():
            values = (stage[:60], min(max(share, 0.0), 1.0), self._now(), number)
            self._db.execute("UPDATE tasks SET stage = ?, share = ?, changed = ? WHERE id = ?", values)

    def finish(self, task: Task, report: dict[str, Any], error: str = "") -> list[str]:
        """Say what came of a task; gives the files that nobody needs any more."""
        now, told = self._now(), json.dumps(report, ensure_ascii=False)
        with self._writing():
            self._db.execute(
                "UPDATE tasks SET state = ?, stage = '', share = 1, error = ?, report = ?, changed = ? WHERE id = ?",
                ("failed" if error else "done", error[:2000], told, now, task.id),
            )
            gone: list[str] = []
            if error:
                gone.append(task.file)
            else:
                former = self.file(task.base, task.source)
                gone += [former] if former not in (None, task.file) else []
                self._db.execute(
                    "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)",
                    (task.base, task.source, task.user, task.file, task.bytes),
                )
            self._db.execute(
                "DELETE FROM tasks WHERE state NOT IN ('held', 'waiting', 'running')"
                " AND id <= (SELECT max(id) FROM tasks) - ?",
                (self._keep,),
            )
            return [file for file in gone if file]

    def forget(self, base: str, source: str | None = None) -> list[str]:
        """A document, or all of a knowledge base, is gone; gives the files that nobody needs any more."""
        one = "" if source is None else " AND source = ?"
        values = (base,) if source is None else (base, source)
        with self._writing():
            gone = [
                row[0]
                for row in self._db.execute(f"SELECT file FROM files WHERE base = ?{one}", values)  # noqa: S608 (ours)
            ]
            self._db.execute(f"DELETE FROM files WHERE base = ?{one}", values)  # noqa: S608 (ours)
            if source is None:
                gone += [
                    row[0]
                    for row in self._db.execute(
                        "SELECT file FROM tasks WHERE base = ? AND state IN ('held', 'waiting', 'running')", (base,)
                    )
                ]
                self._db.execute("DELETE FROM tasks WHERE base = ?", (base,))
            return gone

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock, told_of(self.path), transaction(self._db):
            yield

    def _ask(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._lock, told_of(self.path):
            return self._db.execute(statement, values).fetchall()
