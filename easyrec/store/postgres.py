"""Databases of PostgreSQL: connections that threads share, silence that ends, and errors without passwords."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeVar

from easyrec.errors import MissingExtra, StoreError

T = TypeVar("T")
LOCK = 0x65617374
"""Marks our advisory locks among those of others."""
MOST_IDLE = 16
"""Connections that are kept for later."""


class Postgres:
    """A database, and connections to it that are opened when they are needed.

    Args:
        url: `postgresql://user:password@host:5432/database`.
        timeout: Seconds that the server may be silent.
        tables: Statement that makes each table of ours, by its name.
        prepared: Statements of every new connection.

    Attributes:
        shown: What people call it, without secrets.

    Raises:
        MissingExtra: The driver is not installed.
        StoreError: The address cannot be read.
    """

    def __init__(self, url: str, timeout: float, tables: dict[str, str], prepared: Sequence[str] = ()) -> None:
        self.psycopg: Any = _psycopg()
        try:
            where = self.psycopg.conninfo.conninfo_to_dict(url)
        except self.psycopg.Error:  # whose text may hold the password
            raise StoreError("the address of PostgreSQL cannot be read: write signs in a password as %40") from None
        self._url, self._timeout, self._tables, self._prepared = url, timeout, tables, prepared
        host, port = where.get("host", "localhost"), where.get("port", 5432)
        self.shown = f"postgresql at {host}:{port}/{where.get('dbname', '')}"
        self._kind = _patient(self.psycopg, timeout)
        self._idle: list[Any] = []
        self._made = False

    def run(self, work: Callable[[Any], T]) -> T:
        """What some work with a connection gives.

        It is done once more where the server had closed a connection that lay idle: work that may not be done twice has a
        transaction, and tells what it finds there.

        Args:
            work: Takes a connection, which commits every statement that is in no transaction.

        Raises:
            StoreError: The database cannot be reached, is silent for too long, or refuses.
        """
        try:
            while True:
                try:
                    db = self._idle.pop()
                except IndexError:
                    break
                try:
                    return self._with(db, work)
                except self.psycopg.OperationalError:
                    if not db.closed:
                        raise
            return self._with(self._connected(), work)
        except TimeoutError:
            raise StoreError(f"{self.shown} has not answered for {self._timeout:g} s") from None
        except self.psycopg.Error as error:
            told = "; ".join(line.strip() for line in str(error).splitlines()[:2]) or type(error).__name__
            raise StoreError(f"{self.shown} cannot be used: {told}") from error

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop().close()

    def _with(self, db: Any, work: Callable[[Any], T]) -> T:
        try:
            made = work(db)
        except BaseException:
            if db.closed or db.info.transaction_status != self.psycopg.pq.TransactionStatus.IDLE:
                db.close()
            else:
                self._idle.append(db)
            raise
        if len(self._idle) < MOST_IDLE:
            self._idle.append(db)
        else:
            db.close()
        return made

    def _connected(self) -> Any:
        db = self._kind.connect(self._url, autocommit=True, connect_timeout=max(2, round(self._timeout)))
        try:
            if not self._made:
                self._make(db)
                self._made = True
            for statement in self._prepared:
                db.execute(statement)
        except BaseException:
            db.close()
            raise
        return db

    def _make(self, db: Any) -> None:
        """Make the tables that are not there; who may only read needs no right to."""

        def missing() -> list[str]:
            return [name for name in self._tables if db.execute("SELECT to_regclass(%s)", [name]).fetchone()[0] is None]

        if missing():
            with db.transaction():
                db.execute("SELECT pg_advisory_xact_lock(%s, -1)", [LOCK])
                for name in missing():  # by another process meanwhile
                    db.execute(self._tables[name])


def _psycopg() -> Any:
    try:
        import psycopg  # noqa: PLC0415 (an extra)
    except ImportError:  # also where libpq is missing
        raise MissingExtra("psycopg", "postgres") from None
    return psycopg


def _patient(psycopg: Any, seconds: float) -> Any:
    """Connections that wait so long for an answer; those of psycopg wait for ever."""

    class Patient(psycopg.Connection):  # type: ignore[misc]
        def wait(self, gen: Generator[Any, Any, T], *args: Any, **kwargs: Any) -> T:
            try:
                made: T = super().wait(_bounded(gen, seconds), *args, **kwargs)
            except TimeoutError:
                self.pgconn.finish()  # what it would answer is another one's question
                raise
            return made

    return Patient


def _bounded(gen: Generator[Any, Any, T], seconds: float) -> Generator[Any, Any, T]:
    """The steps of a conversation; the driver takes one at least every tenth of a second, with nothing when there is silence."""
    end = time.monotonic() + seconds
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if ready:
                end = time.monotonic() + seconds
            elif time.monotonic() > end:
                raise TimeoutError
            wanted = gen.send(ready)
    except StopIteration as stop:
        made: T = stop.value
        return made
