"""`redis`: entries of a stream of Redis; a JSON object in one of their fields, or a column in each."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import ConfigDict, Field, SecretStr

from easyrec.errors import DataError, MissingExtra
from easyrec.store.online import expanded
from easyrec.stream.decode import decode_json, from_text, kept, salvaged
from easyrec.stream.sources import Events, EventSource, Malformed, Offset, SourceConfig

logger = logging.getLogger("easyrec.stream")

MOST = 10_000
"""Entries that are asked for at once."""
BEGIN = "0-0"


class Config(SourceConfig):
    """Config of `redis`."""

    model_config = ConfigDict(hide_input_in_errors=True)  # the address may hold a password

    type: Literal["redis"] = "redis"
    url: SecretStr
    """`redis://host:6379/0`, `rediss://` with TLS, or `unix:///run/redis.sock`; secrets as `${NAME}`."""
    stream: str = Field(min_length=1)
    """Key of the stream."""
    field: str | None = None
    """The field that holds a JSON object; without it each field is a column."""
    start: Literal["earliest", "latest"] = "earliest"
    """Where it begins that was never read."""
    on_lost: Literal["fail", "earliest"] = "fail"
    """What becomes of entries that were trimmed before they were read: an error, or the earliest one is next."""
    retry_seconds: float = Field(120.0, gt=0.0)
    """For how long a server that does not answer is asked again."""

    def open(self, schema: pa.Schema, *, until_end: bool = False) -> RedisEvents:
        """See the family's contract."""
        return RedisEvents(self, schema, until_end)


class RedisEvents(EventSource):
    """Entries of a stream, read without a consumer group. An offset is an entry's id, and how many were added up to it.

    Args:
        config: Where they are.
        schema: Columns that are asked for.
        until_end: Whether to end where they end now.

    Raises:
        DataError: The server does not answer.
        MissingExtra: redis is not installed.
    """

    def __init__(self, config: Config, schema: pa.Schema, until_end: bool) -> None:
        try:
            import redis  # noqa: PLC0415 (an extra)
        except ModuleNotFoundError:
            raise MissingExtra("redis", "redis") from None
        self._redis: Any = redis
        self.config, self.schema, self.shown = config, schema, f"stream {config.stream}"
        with self._told():
            self._client = redis.Redis.from_url(
                expanded(config.url.get_secret_value()), socket_timeout=30.0, socket_connect_timeout=5.0
            )
        told = self._info()
        self._end = told["last"] if until_end else None
        self._place: str = told["last"]
        self._added: int = told["added"]
        if config.start == "earliest":  # what was trimmed before the first reading is not missed
            self._place, self._added = BEGIN, told["added"] - told["length"]

    @property
    def partitions(self) -> Sequence[str]:
        """One."""
        return (self.config.stream,)

    @property
    def ended(self) -> bool:
        """See the contract."""
        return self._end is not None and _order(self._place) >= _order(self._end)

    def seek(self, offsets: Mapping[str, Offset]) -> None:
        """See the contract."""
        if self.config.stream in offsets:
            self._place, self._added = offsets[self.config.stream]
            self._check(self._info())

    def poll(self, most: int, seconds: float) -> list[Events]:
        """See the contract."""
        entries = self._ask(lambda: self._read(most))
        if not entries and seconds > 0:
            wait = max(1, min(1000, round(seconds * 1000)))
            self._ask(lambda: self._client.xread({self.config.stream: self._place}, count=1, block=wait))
            entries = self._ask(lambda: self._read(most))
        if not entries:
            return []
        if self._end is not None:
            entries = [entry for entry in entries if _order(entry[0].decode()) <= _order(self._end)]
            if not entries:
                self._place = self._end
                return []
        ids = [entry[0] for entry in entries]
        rows, left_out = self._decoded([entry[1] for entry in entries])
        malformed = [
            Malformed(f"{self.shown}, entry {ids[at].decode()}", reason, str(entries[at][1])) for at, reason in left_out
        ]
        arrived = np.array([int(one.split(b"-")[0]) for one in ids], np.int64) * 1000
        if left_out:
            arrived = arrived[kept(len(ids), left_out)]
        self._place, self._added = ids[-1].decode(), self._added + len(ids)
        read = kept(len(ids), left_out)
        where = partial(_entry, self.shown, [ids[at] for at in read])
        return [Events(self.config.stream, rows, [self._place, self._added], arrived, malformed, where)]

    def backlog(self) -> int | None:
        """Entries that were added and not read."""
        added: int = self._info()["added"]
        return max(0, added - self._added)

    def close(self) -> None:
        """See the contract."""
        self._client.close()

    # ------------------------------------------------------------------------------------------- inside

    def _read(self, most: int) -> list[tuple[bytes, dict[bytes, bytes]]]:
        """The entries that come next, with what the stream says of itself at the same moment."""
        with self._client.pipeline() as asked:
            asked.xinfo_stream(self.config.stream)
            asked.xread({self.config.stream: self._place}, count=min(most, MOST))
            told, found = asked.execute(raise_on_error=False)
        for answer in (told, found):
            if isinstance(answer, Exception) and "no such key" not in str(answer):
                raise answer
        if isinstance(told, Exception):
            return []
        self._check(_figures(told))
        if not found:
            return []
        entries: list[tuple[bytes, dict[bytes, bytes]]]
        entries = found[0][1] if isinstance(found, list) else next(iter(found.values()))[0]
        return entries

    def _decoded(self, entries: Sequence[Mapping[bytes, bytes]]) -> tuple[pa.RecordBatch, list[tuple[int, str]]]:
        if self.config.field is not None:
            name = self.config.field.encode()
            return decode_json([entry.get(name) for entry in entries], self.schema)
        columns = [
            pa.array([entry.get(field.name.encode()) for entry in entries], pa.binary()) for field in self.schema
        ]

        def parsed(start: int, stop: int) -> pa.RecordBatch:
            made = []
            for field, column in zip(self.schema, columns, strict=True):
                try:
                    made.append(from_text(column.slice(start, stop - start).cast(pa.string()), field.type))
                except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:  # noqa: PERF203 (a handful of columns)
                    raise ValueError(f"column '{field.name}': {error}") from None
            return pa.RecordBatch.from_arrays(made, schema=self.schema)

        return salvaged(len(entries), parsed, self.schema)

    def _info(self) -> dict[str, Any]:
        """What the stream says of itself, see `_figures`."""

        def ask() -> Any:
            try:
                return self._client.xinfo_stream(self.config.stream)
            except self._redis.ResponseError as error:
                if "no such key" in str(error):
                    return None
                raise

        found = self._ask(ask)
        return {"last": BEGIN, "added": 0, "length": 0} if found is None else _figures(found)

    def _check(self, told: Mapping[str, Any]) -> None:
        """Whether entries that come next were trimmed."""
        lost = told["added"] - told["length"] - self._added
        if _order(told["last"]) < _order(self._place):
            raise DataError("is younger than what was read of it: was it made anew?", file=self.shown)
        if lost > 0:
            text = f"{lost} entries were trimmed before they were read"
            if self.config.on_lost == "fail":
                raise DataError(f"{text}. With `on_lost: earliest` reading goes on", file=self.shown)
            logger.warning("%s: %s", self.shown, text)
            self._added += lost

    def _ask(self, call: Any) -> Any:
        """Ask the server, again and again while it is away."""
        begun, pause = time.monotonic(), 0.1
        while True:
            try:
                return call()
            except (self._redis.ConnectionError, self._redis.TimeoutError) as error:
                if isinstance(error, self._redis.AuthenticationError) or (
                    time.monotonic() - begun > self.config.retry_seconds
                ):
                    raise DataError(f"the server gave no answer: {error}", file=self.shown) from None
                if pause > 1.0:
                    logger.warning("%s: the server does not answer: %s", self.shown, error)
            except self._redis.RedisError as error:
                raise DataError(f"cannot be read: {error}", file=self.shown) from None
            time.sleep(pause)
            pause = min(2 * pause, 5.0)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Errors of the address in words, without its password."""
        try:
            yield
        except ValueError as error:
            raise DataError(f"the address of Redis cannot be used: {error}", file=self.shown) from None


def _figures(found: Mapping[str, Any]) -> dict[str, Any]:
    """The last id of a stream, how many entries were ever added, and how many there are."""
    last = found["last-generated-id"]
    shown = last.decode() if isinstance(last, bytes) else last
    return {"last": shown, "added": found.get("entries-added", found["length"]), "length": found["length"]}


def _order(place: str) -> tuple[int, int]:
    """Ids in their order."""
    first, _, second = place.partition("-")
    return int(first), int(second or 0)


def _entry(shown: str, ids: Sequence[bytes], row: int) -> str:
    return f"{shown}, entry {ids[row].decode()}"
