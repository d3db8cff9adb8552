"""`milvus`: a collection of a Milvus server, or of a file that Milvus Lite keeps."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from easyrec.errors import MissingExtra, StoreError
from easyrec.retrieval.filters import Condition
from easyrec.retrieval.keyword.terms import terms_of
from rag.stores import Known, StoreConfig, VectorStore
from rag.stores._server import Prefix, ServerStore, Variable, collection_of, secret_of
from rag.stores._terms import Terms

T = TypeVar("T")
ABOUT = -1
"""The number of the entry that says whose the collection is, and what it was told: `id:<identity>`, `told:<change>`."""
TERMS = 4096
"""Terms of an entry: as many as Milvus keeps in an array."""
DIGEST = 16
"""Bytes of a term's digest, by which it is found: so no text of anybody is ever part of an expression."""
MOST = 16_383
"""Neighbours that Milvus finds at most, without the entry that says whose it is."""
TOGETHER = 1000
"""Entries of a request."""
SAID = 300
"""Characters of a server's error that are shown."""


class Config(StoreConfig):
    """Config of `milvus`."""

    type: Literal["milvus"] = "milvus"
    url: str | None = Field(None, min_length=1)
    """`http://host:19530`; default: Milvus Lite, with a file in the knowledge base's folder, for one process alone."""
    user: str | None = Field(None, min_length=1)
    """Who asks; with `password_env`."""
    password_env: Variable | None = None
    """The environment variable that holds the password."""
    database: str = Field("default", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Of the server."""
    prefix: Prefix = "easyrec_"
    """What collections are called first; the name of the knowledge base follows."""
    neighbors: int = Field(16, ge=2, le=2048)
    """Edges of a vector in the graph (HNSW)."""
    ef_construction: int = Field(200, ge=1)
    """Candidates that building keeps."""
    ef_search: int = Field(200, ge=1, le=32_768)
    """Candidates that a search keeps: more find more, slower."""
    consistency: Literal["Strong", "Session", "Bounded", "Eventually"] = "Strong"
    """What a search sees: `Strong` waits until all that was written before is seen; the others may miss the latest."""
    timeout_s: float = Field(10.0, gt=0.0)
    """How long a request may take, and opening."""
    write_timeout_s: float = Field(120.0, gt=0.0)
    """How long writing may take."""

    @field_validator("url", mode="after")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        if value is not None:
            scheme, _, rest = value.partition("://")
            if scheme not in ("http", "https") or not rest:
                raise ValueError("is no address of Milvus: it begins with http:// or https://")
            if "@" in rest:
                raise ValueError("holds a password; name its variable by 'password_env'")
        return value

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.user is None) != (self.password_env is None):
            raise ValueError("'user' and 'password_env' belong together")
        if self.url is None and self.user is not None:
            raise ValueError("a file has no users: 'url' is missing")
        return self

    def open(self, folder: Path, name: str) -> VectorStore:
        """The collection of a knowledge base."""
        return Milvus(self, folder, collection_of(self.prefix, name))


class Milvus(ServerStore):
    """A collection of numbers, vectors and digests of terms."""

    def __init__(self, config: Config, folder: Path, collection: str) -> None:
        where = config.url or str(folder / "milvus.db")
        super().__init__(folder, f"milvus at {where}, collection '{collection}'")
        self.config, self.collection = config, collection
        self._milvus = _package(config.url is None)
        self._secret = secret_of(config.password_env, f"the password of {where}")
        self._dim, self._client = 0, None
        named = {} if config.url is None else {"db_name": config.database}
        if config.user is not None:
            named |= {"user": config.user, "password": self._secret or ""}
        make = self._milvus.MilvusClient
        self._client = self._asked(lambda: make(uri=where, timeout=config.timeout_s, **named))
        try:
            self._look()
        except BaseException:
            self.close()
            raise

    def _asked(self, ask: Callable[[], T]) -> T:
        """What the server answers.

        Raises:
            StoreError: It cannot be reached, is silent, or refuses.
        """
        try:
            return ask()
        except self._refusals() as error:
            told = getattr(error, "message", "") or getattr(error, "details", lambda: "")() or str(error)
            told = str(told).strip().partition("\n")[0][:SAID]
            if self._secret is not None:
                told = told.replace(self._secret, "***")
            raise StoreError(f"{self.shown}: {told or type(error).__name__}") from None

    def _refusals(self) -> tuple[type[Exception], ...]:
        import grpc  # noqa: PLC0415 (comes with pymilvus)

        return self._milvus.MilvusException, grpc.RpcError, OSError, ValueError

    def _quick(self, name: str, *given: Any, **named: Any) -> Any:
        method = getattr(self._client, name)
        return self._asked(lambda: method(*given, timeout=self.config.timeout_s, **named))

    def _slowly(self, name: str, *given: Any, **named: Any) -> Any:
        method = getattr(self._client, name)
        return self._asked(lambda: method(*given, timeout=self.config.write_timeout_s, **named))

    # -------------------------------------------------------------------------------------------- changes

    def _look(self) -> int:
        """What it was told; 0 where there is no collection."""
        if not self._quick("has_collection", self.collection):
            self._dim = 0
            return 0
        fields = {field["name"]: field for field in self._quick("describe_collection", self.collection)["fields"]}
        about: dict[str, str] = {}
        if {"number", "vector", "terms"} <= fields.keys():
            self._slowly("load_collection", self.collection)
            expression = f"number in [{ABOUT}]"
            rows = self._quick(
                "query", self.collection, filter=expression, output_fields=["terms"], consistency_level="Strong"
            )
            about = dict(term.split(":", 1) for row in rows for term in row["terms"])
        self.check_owner(about.get("id"), f"collection '{self.collection}'")
        self._dim = int(fields["vector"]["params"]["dim"])
        return int(about["told"])

    def told_there(self) -> int:
        """What it was told."""
        return self._look()

    def tell(self, expected: int, change: int) -> int | None:
        """Let it know of a change."""
        if not self._dim:
            return None
        was = self._look()
        if self._dim:
            self._say(change if was == expected else min(was, expected))
        return was

    def _say(self, change: int) -> None:
        terms = [f"id:{self.own}", f"told:{change}"]
        row = {"number": ABOUT, "vector": np.zeros(self._dim, np.float32), "terms": terms}
        self._slowly("upsert", self.collection, [row])

    def _make(self, dim: int) -> None:
        kinds, make = self._milvus.DataType, self._milvus.MilvusClient
        schema = make.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("number", kinds.INT64, is_primary=True)
        schema.add_field("vector", kinds.FLOAT_VECTOR, dim=dim)
        schema.add_field("terms", kinds.ARRAY, element_type=kinds.VARCHAR, max_capacity=TERMS, max_length=64)
        index = make.prepare_index_params()
        graph = {"M": self.config.neighbors, "efConstruction": self.config.ef_construction}
        index.add_index("vector", index_type="HNSW", metric_type="IP", params=graph)
        named = {"schema": schema, "index_params": index, "consistency_level": self.config.consistency}
        self._slowly("create_collection", self.collection, **named)
        self._dim = dim
        self._say(0)

    def add(self, numbers: np.ndarray, vectors: np.ndarray, facts: Sequence[Known]) -> None:
        """Add vectors."""
        if not len(numbers):
            return
        if not self._dim:
            self._make(vectors.shape[1])
        vectors = np.ascontiguousarray(self.checked(vectors, self._dim), np.float32)
        terms = [[_digest(term) for term in terms_of(known)] for known in facts]
        for number, own in zip(numbers.tolist(), terms, strict=True):
            if len(own) > TERMS:
                text = (
                    f"chunk {number} has facts of {len(own):,} terms (a number has 17), but at most {TERMS:,} are kept"
                )
                raise StoreError(f"{self.shown}: {text}")
        rows = [
            {"number": number, "vector": vector, "terms": own}
            for number, vector, own in zip(numbers.tolist(), vectors, terms, strict=True)
        ]
        for start in range(0, len(rows), TOGETHER):
            self._slowly("upsert", self.collection, rows[start : start + TOGETHER])

    def remove(self, numbers: np.ndarray) -> None:
        """Take vectors away."""
        for start in range(0, len(numbers) if self._dim else 0, TOGETHER):
            self._slowly("delete", self.collection, ids=numbers[start : start + TOGETHER].tolist())

    # --------------------------------------------------------------------------------------------- search

    def search(self, vector: np.ndarray, k: int, conditions: Sequence[Condition] = ()) -> tuple[np.ndarray, np.ndarray]:
        """The nearest of those that pass."""
        asked = Terms.of(conditions)
        if k < 1 or not self._dim or asked.impossible:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        if k > MOST:
            raise StoreError(f"{self.shown}: finds at most {MOST:,} vectors, not {k:,}")
        data = [np.ascontiguousarray(self.checked(vector, self._dim), np.float32)]
        effort = max(k + 1, self.config.ef_search)
        (hits,) = self._quick(
            "search",
            self.collection,
            data,
            limit=k + 1,  # one of them may be the one that says whose it is
            filter=_expression(asked),
            output_fields=["number"],
            search_params={"metric_type": "IP", "params": {"ef": effort}},
            consistency_level=self.config.consistency,
        )
        found = [(int(hit["entity"]["number"]), float(hit["distance"])) for hit in hits]
        found = [one for one in found if one[0] != ABOUT][:k]
        return np.array([one[0] for one in found], np.int64), np.array([one[1] for one in found], np.float32)

    def __len__(self) -> int:
        if not self._dim:
            return 0
        named = {"filter": "number >= 0", "output_fields": ["count(*)"], "consistency_level": "Strong"}
        return int(self._quick("query", self.collection, **named)[0]["count(*)"])

    def clear(self) -> None:
        """Forget everything."""
        self._look()  # that it is ours
        if self._dim:
            self._slowly("drop_collection", self.collection)
        self._dim = 0
        self.forgotten()

    def close(self) -> None:
        """Let go of the server, or of the file."""
        if self._client is not None:
            self._client.close()


def _digest(term: str) -> str:
    return hashlib.blake2b(term.encode(), digest_size=DIGEST).hexdigest()


def _expression(asked: Terms) -> str:
    """A filter as Milvus reads it, of digests alone."""

    def listed(terms: Sequence[str]) -> str:
        return "[" + ", ".join(f'"{_digest(term)}"' for term in terms) + "]"

    parts = [f"array_contains_any(terms, {listed(terms)})" for terms in asked.any]
    if asked.none:
        parts.append(f"not array_contains_any(terms, {listed(asked.none)})")
    return " and ".join(parts)


def _package(lite: bool) -> Any:
    """The client.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        import pymilvus  # noqa: PLC0415 (an extra)

        if lite:
            import milvus_lite  # noqa: F401, PLC0415 (an extra)
    except ImportError as error:
        raise MissingExtra(error.name or "pymilvus", "milvus") from None
    return pymilvus
