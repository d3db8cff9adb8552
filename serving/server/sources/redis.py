"""`redis`: a Redis stream that announces bundles and deltas, and where each lies.

A message has `kind` (`bundle` or `delta`), `place` (a path or a URL) and `digest`, that of its manifest; a delta's also `base` and `result`.
"""

from __future__ import annotations

import logging
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import Field

from easyrec.errors import BundleError, ConfigError, MissingExtra
from serving.server.models import DIGITS
from serving.server.sources import Offer, Room, Source, SourceConfig, hidden, source_config
from serving.server.sources.folder import Config as FolderConfig
from serving.server.sources.folder import Folder, delta_at
from serving.server.sources.object_store import Config as StoreConfig
from serving.server.sources.object_store import ObjectStore

logger = logging.getLogger("serving.server")
KINDS = ("bundle", "delta")
DIGEST = re.compile(r"[0-9a-f]{64}")
MOST = 1000
"""Announcements that are read at once, and deltas that are remembered."""
KEPT = 10_000
"""Messages that an announcement leaves in the stream, about."""
PATIENCE_S = 5.0


class Config(SourceConfig):
    """Config of `redis`."""

    type: Literal["redis"] = "redis"
    url: str = Field(pattern=r"^rediss?://", repr=False)
    """`redis://host:6379/0`, `rediss://` for TLS; a password as `${ENV}`."""
    stream: str = Field("easyrec", min_length=1)
    """The stream's key."""
    options: dict[str, Any] = Field({}, repr=False)
    """Of the file systems that announced places lie in, as fsspec takes them."""

    @classmethod
    def of_url(cls, url: str) -> dict[str, Any]:
        """An address; `?stream=...` names the stream."""
        address = urlsplit(url)
        keys = dict(parse_qsl(address.query))
        stream = {"stream": keys.pop("stream")} if "stream" in keys else {}
        return {"url": address._replace(query=urlencode(keys)).geturl(), **stream}

    def open(self, room: Room) -> Source:
        """The stream; nothing is asked of the server yet.

        Raises:
            MissingExtra: The package `redis` is not installed.
            ConfigError: The address is none.
        """
        return RedisStream(self, room)


class RedisStream(Source):
    """A stream.

    Args:
        config: Which.
        room: Where what is fetched goes.
    """

    def __init__(self, config: Config, room: Room) -> None:
        self.shown = f"{hidden(config.url)}, stream '{config.stream}'"
        self._stream, self._options, self._room = config.stream, config.options, room
        self._client, self._failures = connected(config.url, self.shown)
        self._last = "0-0"
        self._bundle: Offer | None = None
        self._deltas: list[Offer] = []

    def bundle(self) -> Offer:
        """The bundle that was announced last."""
        self._read()
        if self._bundle is None:
            raise BundleError(f"{self.shown}: no bundle was announced")
        return self._bundle

    def deltas(self) -> list[Offer]:
        """The deltas that were announced, in that order."""
        self._read()
        return list(self._deltas)

    def _read(self) -> None:
        """Take note of what was announced since the last time."""
        while True:
            try:
                found = self._client.xread({self._stream: self._last}, count=MOST)
            except self._failures as error:
                raise BundleError(f"{self.shown}: cannot be read: {type(error).__name__}") from None
            messages = found[0][1] if found else []
            for number, fields in messages:
                self._last = number
                if not self._note(fields):
                    logger.warning("%s: message %s is no announcement, and was passed over", self.shown, number)
            if len(messages) < MOST:
                return

    def _note(self, fields: Mapping[str, str]) -> bool:
        """Whether a message is an announcement."""
        kind, place, digest = (fields.get(name, "") for name in ("kind", "place", "digest"))
        digests = (digest, fields.get("base", ""), fields.get("result", "")) if kind == "delta" else (digest,)
        if kind not in KINDS or not place or not all(DIGEST.fullmatch(text) for text in digests):
            return False

        def fetch() -> Path:
            found = offer_at(kind, place, self._options, self._room)
            if found.digest != digest:
                raise BundleError(f"{found.place}: is not the {kind} {digest[:DIGITS]} that was announced")
            return found.fetch()

        offer = Offer(f"{self.shown}: {hidden(place)}", digest, fetch, *digests[1:])
        if kind == "bundle":
            self._bundle = offer
        else:
            self._deltas = [*self._deltas[1 - MOST :], offer]
        return True


def offer_at(kind: str, place: str, options: dict[str, Any], room: Room) -> Offer:
    """What lies at a path or URL.

    Raises:
        BundleError: There is no such thing, or it cannot be read.
    """
    try:
        config = source_config(place)
    except ValueError:
        raise BundleError(f"{hidden(place)}: is neither a path nor a URL") from None
    if isinstance(config, StoreConfig):
        store = ObjectStore(config.url, options, room)
        found = store.bundle() if kind == "bundle" else store.delta()
    elif isinstance(config, FolderConfig):
        found = Folder(config.path).bundle() if kind == "bundle" else delta_at(Path(config.path))
    else:
        raise BundleError(f"{hidden(place)}: is no place for a {kind}")
    if found.error is not None:
        raise found.error
    return found


def announce(url: str, kind: str, place: str, options: dict[str, Any] | None = None) -> str:
    """Tell servers of a bundle or delta, once all of it lies where it says.

    Args:
        url: Address of the Redis server; `?stream=...` names the stream.
        kind: `bundle` or `delta`.
        place: Path or URL of it, as the servers reach it.
        options: Of its file system, as fsspec takes them.

    Returns:
        The message's number.

    Raises:
        BundleError: There is nothing, or the Redis server cannot be reached.
        MissingExtra: A package is not installed.
    """
    config = Config.model_validate(Config.of_url(url))
    with tempfile.TemporaryDirectory() as folder:
        found = offer_at(kind, place, options or {}, Room(Path(folder)))
    fields = {"kind": kind, "place": place, "digest": found.digest}
    if kind == "delta":
        fields |= {"base": found.base, "result": found.result}
    client, failures = connected(config.url, hidden(config.url))
    try:
        return str(client.xadd(config.stream, fields, maxlen=KEPT, approximate=True))
    except failures as error:
        raise BundleError(f"{hidden(config.url)}: cannot be written to: {type(error).__name__}") from None


def connected(url: str, shown: str) -> tuple[Any, Any]:
    """A client, and what it raises where the server does not answer.

    Raises:
        MissingExtra: The package is not installed.
        ConfigError: The address is none.
    """
    try:
        import redis  # noqa: PLC0415 (an extra)
    except ImportError:
        raise MissingExtra("redis", "redis") from None
    waits: dict[str, Any] = {"socket_timeout": PATIENCE_S, "socket_connect_timeout": PATIENCE_S}
    try:
        client = redis.Redis.from_url(url, decode_responses=True, **waits)
        pool = client.connection_pool
        pool.connection_class(**pool.connection_kwargs)  # connects to nothing yet, but knows its options
    except ValueError:  # its text may hold the password
        raise ConfigError(f"{shown}: is no address of a Redis server") from None
    except TypeError as error:
        unknown = re.search(r"argument '(\w+)'", str(error))
        option = f"option '{unknown[1]}'" if unknown else "option"
        raise ConfigError(f"{shown}: has an unknown {option}; '?stream=...' names the stream") from None
    return client, redis.exceptions.RedisError
