"""`elasticsearch`: an index of Elasticsearch (8.11 or later), asked over HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from easyrec.errors import MissingExtra, StoreError
from easyrec.retrieval.filters import Condition
from easyrec.retrieval.keyword.terms import EVERY, terms_of
from rag.stores import Known, StoreConfig, VectorStore
from rag.stores._server import Prefix, ServerStore, Variable, collection_of, secret_of
from rag.stores._terms import Terms

if TYPE_CHECKING:
    import httpx

ABOUT = "about"
"""The id of the document that says whose the index is, and what it was told."""
MOST = 10_000
"""Neighbours that Elasticsearch finds at most."""
BODY_BYTES = 8 << 20
"""Of a request, about, at most."""
SAID = 300
"""Characters of a server's error that are shown."""
BUSY = frozenset({429, 502, 503, 504})
"""Answers of servers that are busy for a while."""
WAITS = (0.2, 0.5, 1.0, 2.0)
"""Seconds before each further try."""


class Config(StoreConfig):
    """Config of `elasticsearch`."""

    type: Literal["elasticsearch"] = "elasticsearch"
    url: str = Field(min_length=1)
    """`https://host:9200`, without user and password."""
    user: str | None = Field(None, min_length=1)
    """Who asks; with `password_env`."""
    password_env: Variable | None = None
    """The environment variable that holds the password."""
    api_key_env: Variable | None = None
    """The environment variable that holds an API key, encoded as the server gave it out, in place of user and password."""
    ca: str | None = Field(None, min_length=1)
    """File of certificates that the server's is checked by; default: those of this machine."""
    prefix: Prefix = "easyrec_"
    """What indexes are called first; the name of the knowledge base follows."""
    shards: int = Field(1, ge=1, le=1024)
    """Of a new index."""
    graph: Literal["hnsw", "int8_hnsw"] = "hnsw"
    """How vectors are kept in it: as they are, or (8.12 or later) with each number in a byte besides."""
    neighbors: int = Field(16, ge=2, le=512)
    """Edges of a vector in the graph of a new index."""
    ef_construction: int = Field(128, ge=1, le=3200)
    """Candidates that building keeps."""
    candidates: int = Field(200, ge=1, le=MOST)
    """Candidates that a search keeps on each shard: more find more, slower."""
    connect_s: float = Field(5.0, gt=0.0)
    """How long it may take to reach the server."""
    timeout_s: float = Field(10.0, gt=0.0)
    """How long the server may be silent when it is searched."""
    write_timeout_s: float = Field(120.0, gt=0.0)
    """How long it may be silent when it writes."""

    @field_validator("url", mode="after")
    @classmethod
    def _is_address(cls, value: str) -> str:
        scheme, _, rest = value.partition("://")
        if scheme not in ("http", "https") or not rest or rest.startswith("/"):
            raise ValueError("is no address of Elasticsearch: it begins with https:// or http://")
        if "@" in rest.partition("/")[0]:
            raise ValueError("holds a password; name its variable by 'password_env'")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _is_one_secret(self) -> Self:
        if (self.user is None) != (self.password_env is None):
            raise ValueError("'user' and 'password_env' belong together")
        if self.user is not None and self.api_key_env is not None:
            raise ValueError("has a password and an API key: name one of them")
        return self

    def open(self, folder: Path, name: str) -> VectorStore:
        """The index of a knowledge base."""
        return Elasticsearch(self, folder, collection_of(self.prefix, name))


class Elasticsearch(ServerStore):
    """An index of documents with a vector and terms, and of one that says whose it is."""

    def __init__(self, config: Config, folder: Path, index: str) -> None:
        super().__init__(folder, f"elasticsearch at {config.url}, index '{index}'")
        self.config, self.index = config, index
        self._http = _client(config)
        try:
            self._dim, self._cleared = 0, False
            self._look()
        except BaseException:
            self.close()
            raise

    def _ask(
        self, method: str, path: str, body: Any = None, *, missing: bool = False, writes: bool = False
    ) -> dict[str, Any] | None:
        """What the server answers; None where there is no such thing and that is fine.

        Raises:
            StoreError: It cannot be reached, is silent, busy for long, or refuses.
        """
        import httpx  # noqa: PLC0415 (an extra)

        content, headers = None, {}
        if body is not None:
            lines = isinstance(body, bytes)
            content = body if lines else json.dumps(body).encode()
            headers = {"Content-Type": "application/x-ndjson" if lines else "application/json"}
        silent = self.config.write_timeout_s if writes else self.config.timeout_s
        timeout = httpx.Timeout(silent, connect=self.config.connect_s)
        waits = iter(WAITS)
        while True:
            try:
                answer = self._http.request(
                    method, f"/{self.index}{path}", content=content, headers=headers, timeout=timeout
                )
            except httpx.TimeoutException:
                raise StoreError(f"{self.shown} has not answered for {silent:g} s") from None
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as error:
                # A connection that lay idle may be gone. All that is asked may be asked twice.
                if next(waits, None) is None:
                    raise StoreError(f"{self.shown} broke off: {type(error).__name__}") from None
                continue
            except httpx.HTTPError as error:
                raise StoreError(f"{self.shown} cannot be reached: {error}") from None
            wait = next(waits, None) if answer.status_code in BUSY else None
            if wait is None:
                return self._read(answer, missing)
            time.sleep(wait)

    def _read(self, answer: httpx.Response, missing: bool) -> dict[str, Any] | None:
        if answer.status_code == 404 and missing:
            return None
        try:
            found = answer.json()
        except ValueError:
            found = None
        if answer.is_success and isinstance(found, dict):
            return found
        raise StoreError(f"{self.shown}: {answer.status_code} {_reason(found) or 'is no answer of Elasticsearch'}")

    # -------------------------------------------------------------------------------------------- changes

    def _look(self) -> tuple[int, dict[str, int]]:
        """What it was told, and the version of what says so."""
        found = self._ask("GET", f"/_doc/{ABOUT}", missing=True)
        if found is None or not found.get("found"):
            self._dim = 0
            if self._ask("GET", "/_mapping", missing=True) is not None:
                self.check_owner(None, f"index '{self.index}'")
            return 0, {}
        about = found["_source"]["about"]
        self.check_owner(about.get("identity"), f"index '{self.index}'")
        self._dim = int(about["dim"])
        return int(about["told"]), {"if_seq_no": found["_seq_no"], "if_primary_term": found["_primary_term"]}

    def told_there(self) -> int:
        """What it was told."""
        return self._look()[0]

    def tell(self, expected: int, change: int) -> int | None:
        """Let what was changed be found, and let it know of a change."""
        if not self._dim:
            return None
        self._ask("POST", "/_refresh", writes=True)
        was, version = self._look()
        if not self._dim:
            return 0  # another one has taken it away
        told = change if was == expected else min(was, expected)
        return was if self._say(told, version) else -1

    def _say(self, change: int, version: dict[str, int] | None = None) -> bool:
        """Let it know of a change, and say whether nobody else did since that version; none: since there was no such document."""
        about = {ABOUT: {"identity": self.own, "dim": self._dim, "told": change}}
        query = "&".join(f"{key}={value}" for key, value in (version or {}).items())
        path = f"/_create/{ABOUT}" if version is None else f"/_doc/{ABOUT}?{query}"
        try:
            self._ask("PUT", path, about, writes=True)
        except StoreError as error:
            if "version_conflict_engine_exception" not in str(error):
                raise
            return False
        return True

    def _make(self, dim: int) -> None:
        """Make the index, unless another process did."""
        graph = {"type": self.config.graph, "m": self.config.neighbors, "ef_construction": self.config.ef_construction}
        vector = {
            "type": "dense_vector",
            "dims": dim,
            "index": True,
            "similarity": "max_inner_product",
            "index_options": graph,
        }
        fields = {"vector": vector, "terms": {"type": "keyword"}, ABOUT: {"type": "object", "enabled": False}}
        body = {
            # What is written is found when it is said so.
            "settings": {"index": {"number_of_shards": self.config.shards, "refresh_interval": "-1"}},
            "mappings": {"dynamic": "strict", "properties": fields},
        }
        try:
            self._ask("PUT", "", body, writes=True)
        except StoreError as error:
            if "resource_already_exists_exception" not in str(error):
                raise
        self._dim = dim
        self._say(0)
        self._look()

    def add(self, numbers: np.ndarray, vectors: np.ndarray, facts: Sequence[Known]) -> None:
        """Add vectors."""
        if not len(numbers):
            return
        if self._cleared and self._dim not in (0, vectors.shape[1]):  # of another model
            self._ask("DELETE", "", missing=True, writes=True)
            self._dim = 0
        if not self._dim:
            self._make(vectors.shape[1])
        self._cleared = False
        listed = self.checked(vectors, self._dim).tolist()
        lines = (
            json.dumps({"index": {"_id": str(number)}})
            + "\n"
            + json.dumps({"vector": vector, "terms": terms_of(known)}, ensure_ascii=False)
            + "\n"
            for number, vector, known in zip(numbers.tolist(), listed, facts, strict=True)
        )
        self._bulk(lines)

    def remove(self, numbers: np.ndarray) -> None:
        """Take vectors away."""
        if self._dim:
            self._bulk(json.dumps({"delete": {"_id": str(number)}}) + "\n" for number in numbers.tolist())

    def _bulk(self, lines: Iterator[str]) -> None:
        held, size = list[bytes](), 0
        for line in lines:
            held.append(line.encode())
            size += len(held[-1])
            if size >= BODY_BYTES:
                self._sent(held)
                held, size = [], 0
        if held:
            self._sent(held)

    def _sent(self, lines: list[bytes]) -> None:
        answer = self._ask("POST", "/_bulk", b"".join(lines), writes=True) or {}
        if not answer.get("errors"):
            return
        for item in answer["items"]:
            (told,) = item.values()
            if "error" in told:
                raise StoreError(f"{self.shown}: {told.get('_id')}: {_reason(told)}")

    # --------------------------------------------------------------------------------------------- search

    def search(self, vector: np.ndarray, k: int, conditions: Sequence[Condition] = ()) -> tuple[np.ndarray, np.ndarray]:
        """The nearest of those that pass."""
        asked = Terms.of(conditions)
        if k < 1 or not self._dim or asked.impossible:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        if k > MOST:
            raise StoreError(f"{self.shown}: finds at most {MOST:,} vectors, not {k:,}")
        near = {
            "field": "vector",
            "query_vector": self.checked(vector, self._dim).tolist(),
            "k": k,
            "num_candidates": max(k, self.config.candidates),
        }
        if conditions:
            near["filter"] = {
                "bool": {
                    "filter": [{"terms": {"terms": list(terms)}} for terms in asked.any],
                    "must_not": [{"terms": {"terms": list(asked.none)}}] if asked.none else [],
                }
            }
        path = "/_search?allow_partial_search_results=false"  # of all shards or none
        found = self._ask("POST", path, {"knn": near, "size": k, "_source": False}, missing=True)
        hits = [] if found is None else found["hits"]["hits"]
        scores = np.array([hit["_score"] for hit in hits], np.float64)
        # It tells 1 + product, or 1 / (1 - product) of one below 0.
        products = np.where(scores >= 1.0, scores - 1.0, 1.0 - 1.0 / np.maximum(scores, 1e-300))
        return np.array([int(hit["_id"]) for hit in hits], np.int64), products.astype(np.float32)

    def __len__(self) -> int:
        body = {"query": {"term": {"terms": {"value": EVERY}}}}
        found = self._ask("POST", "/_count", body, missing=True) if self._dim else None
        return 0 if found is None else int(found["count"])

    def clear(self) -> None:
        """Forget everything. The index stays: what another process writes meanwhile would make one of another kind."""
        _, version = self._look()  # that it is ours
        if self._dim:
            self._say(0, version)
            self._ask("POST", "/_refresh", writes=True)
            body = {"query": {"term": {"terms": {"value": EVERY}}}}
            path = "/_delete_by_query?conflicts=proceed&refresh=true"
            failures = (self._ask("POST", path, body, writes=True) or {}).get("failures")
            if failures:
                raise StoreError(f"{self.shown} cannot be cleared: {str(failures[0])[:SAID]}")
        self._cleared = True
        self.forgotten()

    def drop(self) -> None:
        """Forget everything, and take the index away."""
        self._look()  # that it is ours
        if self._dim:
            self._ask("DELETE", "", missing=True, writes=True)
        self._dim = 0
        self.forgotten()

    def close(self) -> None:
        """Close connections."""
        self._http.close()


def _client(config: Config) -> httpx.Client:
    """What asks.

    Raises:
        ConfigError: A variable is not set.
        MissingExtra: httpx is not installed.
        StoreError: The certificates cannot be read.
    """
    try:
        import httpx  # noqa: PLC0415 (an extra)
    except ImportError:
        raise MissingExtra("httpx", "rag") from None
    headers = {"User-Agent": "easyrec"}
    key = secret_of(config.api_key_env, f"the API key of {config.url}")
    if key is not None:
        headers["Authorization"] = f"ApiKey {key}"
    password = secret_of(config.password_env, f"the password of {config.url}")
    try:
        return httpx.Client(
            base_url=config.url,
            headers=headers,
            auth=(config.user, password) if config.user is not None and password is not None else None,
            follow_redirects=False,  # a key is for the server that was named
            verify=config.ca or config.url.startswith("https"),  # certificates take a while to load
        )
    except OSError as error:
        raise StoreError(f"{config.ca}: cannot be read: {error}") from None


def _reason(found: Any) -> str:
    """What a server says went wrong."""
    error = found.get("error") if isinstance(found, dict) else None
    if isinstance(error, dict):
        causes = error.get("root_cause") or [error]
        error = "; ".join(f"{cause.get('type')}: {cause.get('reason')}" for cause in causes[:2])
    return str(error)[:SAID] if error else ""
