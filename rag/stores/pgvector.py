"""`pgvector`: a table in a PostgreSQL that has the extension `vector`."""

# ruff: noqa: S608 (statements are made of this file's constants and of names that `collection_of` made; values are bound)

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator

from easyrec.errors import ConfigError, MissingExtra, StoreError
from easyrec.retrieval.filters import Condition
from easyrec.retrieval.keyword.terms import terms_of
from easyrec.store.postgres import LOCK, Postgres
from rag.stores import Known, StoreConfig, VectorStore
from rag.stores._server import Prefix, ServerStore, Variable, collection_of, secret_of
from rag.stores._terms import Terms

ABOUT = (
    "CREATE TABLE easyrec_vectors (name text PRIMARY KEY, identity text NOT NULL, dim integer NOT NULL, "
    "told bigint NOT NULL)"
)
PREPARED = ("SET jit = off", "SET plan_cache_mode = force_custom_plan")
TELL = (
    "UPDATE easyrec_vectors now SET told = CASE WHEN now.told = %(expected)s THEN %(change)s "
    "ELSE least(now.told, %(expected)s) END FROM (SELECT told FROM easyrec_vectors WHERE name = %(name)s FOR UPDATE) was "
    "WHERE name = %(name)s RETURNING was.told"
)
WIDEST = 2000
"""Numbers of a vector that a graph of pgvector takes; wider ones are all compared."""
MOST = 1000
"""Candidates that a search of a graph keeps at most."""
FEW = 5000
"""Where no more than so many pass a filter, all of them are compared."""
HEAD, TAIL = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0), struct.pack(">h", -1)
TEXT_OID = 25


class Config(StoreConfig):
    """Config of `pgvector`."""

    type: Literal["pgvector"] = "pgvector"
    url: str = Field(min_length=1)
    """`postgresql://user@host:5432/database`, without the password."""
    password_env: Variable | None = None
    """The environment variable that holds the password."""
    prefix: Prefix = "easyrec_"
    """What tables are called first; the name of the knowledge base follows."""
    exact: int = Field(10_000, ge=0)
    """Vectors up to which all are compared; for more a graph (HNSW) is built."""
    neighbors: int = Field(16, ge=2, le=100)
    """Edges of a vector in the graph."""
    ef_construction: int = Field(128, ge=4, le=1000)
    """Candidates that building keeps, at least twice as many as `neighbors`."""
    ef_search: int = Field(200, ge=1, le=MOST)
    """Candidates that a search keeps: more find more, slower."""
    build_mb: int = Field(512, ge=1, le=1 << 20)
    """Memory of the server for building the graph; where it does not suffice, building is slow."""
    timeout_s: float = Field(10.0, gt=0.0)
    """How long the server may be silent."""
    build_timeout_s: float = Field(3600.0, gt=0.0)
    """How long it may be silent while it writes or builds."""

    @field_validator("url", mode="after")
    @classmethod
    def _is_address(cls, value: str) -> str:
        scheme, _, rest = value.partition("://")
        if scheme not in ("postgresql", "postgres"):
            raise ValueError("is no address of PostgreSQL: it begins with postgresql://")
        if ":" in rest.partition("/")[0].rpartition("@")[0] or "password=" in rest:
            raise ValueError("holds a password; name its variable by 'password_env'")
        return value

    def open(self, folder: Path, name: str) -> VectorStore:
        """The table of a knowledge base."""
        return PgVector(self, folder, collection_of(self.prefix, name))


class PgVector(ServerStore):
    """A table of numbers, vectors and terms, and a row of `easyrec_vectors` that says whose it is."""

    def __init__(self, config: Config, folder: Path, table: str) -> None:
        try:
            import psycopg  # noqa: PLC0415 (an extra)
        except ImportError:  # also where libpq is missing
            raise MissingExtra("psycopg", "pgvector") from None
        password = secret_of(config.password_env, f"the password of {config.url}")
        try:
            url = psycopg.conninfo.make_conninfo(config.url, **({} if password is None else {"password": password}))
        except psycopg.Error:
            raise ConfigError("'url': the address of PostgreSQL cannot be read") from None
        self.config, self.table = config, table
        self._slow = Postgres(url, config.build_timeout_s, {"easyrec_vectors": ABOUT})
        super().__init__(folder, f"{self._slow.shown}, table '{table}'")
        self._fast = Postgres(url, config.timeout_s, {"easyrec_vectors": ABOUT}, PREPARED)
        self._dim, self._graph = 0, False
        try:
            self._iterates = self._fast.run(self._prepared)
            self._look()
        except BaseException:
            self.close()
            raise

    def _prepared(self, db: Any) -> bool:
        """Make the extension, and say whether it searches on where a filter took too much away."""
        version = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
        found = db.execute(version).fetchone()
        if found is None:
            try:
                db.execute("CREATE EXTENSION IF NOT EXISTS vector")
            except self._fast.psycopg.Error as error:
                told = str(error).partition("\n")[0]
                raise StoreError(
                    f"{self.shown}: the extension 'vector' is not there and cannot be made: {told}"
                ) from None
            found = db.execute(version).fetchone()
        return tuple(int(part) for part in found[0].split(".")[:2]) >= (0, 8)

    def _look(self) -> int:
        """What the server says of the table: what it was told; 0 where there is none."""

        def look(db: Any) -> tuple[Any, bool, bool]:
            about = db.execute(
                "SELECT identity, dim, told FROM easyrec_vectors WHERE name = %s", [self.table]
            ).fetchone()
            there = "SELECT to_regclass(%s) IS NOT NULL, to_regclass(%s) IS NOT NULL"
            return about, *db.execute(there, [self.table, f"{self.table}_graph"]).fetchone()

        about, table, graph = self._fast.run(look)
        if about is not None or table:
            self.check_owner(about and about[0], f"table '{self.table}'")
        if about is None or not table:
            self._dim, self._graph = 0, False
            return 0
        self._dim, self._graph = about[1], graph
        return int(about[2])

    def told_there(self) -> int:
        """What it was told."""
        return self._look()

    def _make(self, dim: int) -> None:
        """Make the table, unless another process did."""

        def make(db: Any) -> None:
            with db.transaction():
                db.execute("SELECT pg_advisory_xact_lock(%s, -2)", [LOCK])
                if db.execute("SELECT 1 FROM easyrec_vectors WHERE name = %s", [self.table]).fetchone() is None:
                    db.execute(
                        f"CREATE TABLE {self.table} (number bigint PRIMARY KEY, vector vector({dim}) NOT NULL, "
                        "terms text[] NOT NULL)"
                    )
                    db.execute(f"CREATE INDEX {self.table}_terms ON {self.table} USING gin (terms)")
                    db.execute("INSERT INTO easyrec_vectors VALUES (%s, %s, %s, 0)", [self.table, self.own, dim])

        self._fast.run(make)
        self._look()

    def add(self, numbers: np.ndarray, vectors: np.ndarray, facts: Sequence[Known]) -> None:
        """Add vectors."""
        if not len(numbers):
            return
        if not self._dim:
            self._make(vectors.shape[1])
        rows = _binary(numbers, self.checked(vectors, self._dim), facts)

        def add(db: Any) -> None:
            with db.transaction():
                db.execute(f"DELETE FROM {self.table} WHERE number = ANY(%s)", [numbers.tolist()])
                with db.cursor().copy(f"COPY {self.table} (number, vector, terms) FROM STDIN (FORMAT BINARY)") as copy:
                    copy.write(rows)

        self._slow.run(add)

    def remove(self, numbers: np.ndarray) -> None:
        """Take vectors away."""
        if len(numbers) and self._dim:
            self._slow.run(
                lambda db: db.execute(f"DELETE FROM {self.table} WHERE number = ANY(%s)", [numbers.tolist()])
            )

    def tell(self, expected: int, change: int) -> int | None:
        """Let it know of a change, and build the graph where there are enough vectors."""
        if not self._dim:
            return None
        self._build()
        values = {"name": self.table, "expected": expected, "change": change}
        found = self._fast.run(lambda db: db.execute(TELL, values).fetchone())
        return int(found[0]) if found else 0

    def _build(self) -> None:
        if self._graph or self._dim > WIDEST:
            return

        def build(db: Any) -> bool:
            enough = f"SELECT count(*) FROM (SELECT 1 FROM {self.table} LIMIT %s) few"
            if db.execute(enough, [self.config.exact + 1]).fetchone()[0] <= self.config.exact:
                return False
            with db.transaction():
                db.execute(f"SET LOCAL maintenance_work_mem = '{self.config.build_mb}MB'")
                db.execute(
                    f"CREATE INDEX IF NOT EXISTS {self.table}_graph ON {self.table} USING hnsw (vector vector_ip_ops) "
                    f"WITH (m = {self.config.neighbors}, ef_construction = {self.config.ef_construction})"
                )
            db.execute(f"ANALYZE {self.table}")
            return True

        self._graph = self._slow.run(build)

    def search(self, vector: np.ndarray, k: int, conditions: Sequence[Condition] = ()) -> tuple[np.ndarray, np.ndarray]:
        """The nearest of those that pass."""
        asked = Terms.of(conditions)
        if k < 1 or not self._dim or asked.impossible:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        told = "[" + ",".join(map(repr, self.checked(vector, self._dim).tolist())) + "]"
        where, values = _where(asked)

        def search(db: Any) -> list[tuple[int, float]]:
            if self._graph and k <= MOST and not (where and self._are_few(db, where, values)):
                rows = self._walked(db, told, k, where, values)
                if len(rows) == k:
                    return rows
            # The sum keeps the planner from the graph.
            return self._asked(db, "(vector <#> %s::vector) + 0.0", told, k, where, values)

        rows = self._fast.run(search)
        return np.array([row[0] for row in rows], np.int64), np.array([row[1] for row in rows], np.float32)

    def _are_few(self, db: Any, where: str, values: list[Any]) -> bool:
        few = f"SELECT count(*) FROM (SELECT 1 FROM {self.table} {where} LIMIT {FEW + 1}) few"
        found: int = db.execute(few, values).fetchone()[0]
        return found <= FEW

    def _walked(self, db: Any, told: str, k: int, where: str, values: list[Any]) -> list[tuple[int, float]]:
        """The nearest that the graph leads to: fewer than wanted where a filter took them away."""
        with db.transaction():
            db.execute(f"SET LOCAL hnsw.ef_search = {max(k, self.config.ef_search)}")
            if where and self._iterates:
                db.execute("SET LOCAL hnsw.iterative_scan = strict_order")
            return self._asked(db, "vector <#> %s::vector", told, k, where, values)

    def _asked(self, db: Any, order: str, told: str, k: int, where: str, values: list[Any]) -> list[tuple[int, float]]:
        found: list[tuple[int, float]] = db.execute(
            f"SELECT number, -(vector <#> %s::vector) FROM {self.table} {where} ORDER BY {order}, number LIMIT %s"
            if "+" in order
            else f"SELECT number, -(vector <#> %s::vector) FROM {self.table} {where} ORDER BY {order} LIMIT %s",
            [told, *values, told, k],
        ).fetchall()
        return found

    def __len__(self) -> int:
        if not self._dim:
            return 0
        return int(self._fast.run(lambda db: db.execute(f"SELECT count(*) FROM {self.table}").fetchone()[0]))

    def clear(self) -> None:
        """Forget everything."""

        def clear(db: Any) -> None:
            with db.transaction():
                db.execute("DELETE FROM easyrec_vectors WHERE name = %s", [self.table])
                db.execute(f"DROP TABLE IF EXISTS {self.table}")

        self._look()  # that it is ours
        self._slow.run(clear)
        self._dim, self._graph = 0, False
        self.forgotten()

    def close(self) -> None:
        """Close connections."""
        self._fast.close()
        self._slow.close()


def _where(asked: Terms) -> tuple[str, list[Any]]:
    """A clause, and its values."""
    parts = ["terms && %s::text[]"] * len(asked.any) + ["NOT terms && %s::text[]"] * bool(asked.none)
    values = [list(terms) for terms in asked.any] + ([list(asked.none)] if asked.none else [])
    return ("WHERE " + " AND ".join(parts) if parts else ""), values


def _binary(numbers: np.ndarray, vectors: np.ndarray, facts: Sequence[Known]) -> bytes:
    """Rows as COPY takes them."""
    dim = vectors.shape[1]
    wide = np.ascontiguousarray(vectors, ">f4")
    before, between = struct.Struct(">hiqihh"), struct.Struct(">iiiiii")
    parts = [HEAD]
    for number, vector, known in zip(numbers.tolist(), wide, facts, strict=True):
        terms = [term.encode() for term in terms_of(known)]
        listed = b"".join(struct.pack(">i", len(term)) + term for term in terms)
        parts += (
            before.pack(3, 8, number, 4 + 4 * dim, dim, 0),
            vector.tobytes(),
            between.pack(20 + len(listed), 1, 0, TEXT_OID, len(terms), 1),
            listed,
        )
    parts.append(TAIL)
    return b"".join(parts)
