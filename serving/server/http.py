"""What an endpoint is given and gives back, over plain ASGI; bodies are read within bounds."""

from __future__ import annotations

import asyncio
import contextlib
import time
import zlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

JSON = b"application/json"
FORGOTTEN, FORGETTING_S = 8, 2.0
"""A body that is up to so many times too large is taken for so long, and forgotten: a client that sends cannot read why."""


class Refused(Exception):  # noqa: N818 (it says what became of the request)
    """A request that is answered with an error.

    Args:
        status: HTTP status.
        reason: A word for metrics and logs.
        text: What the client is told.
        column: The feature's raw column or the tensor that is to blame.
        row: Which candidate.
        retry_after: Seconds after which another try makes sense.
        close: Whether the connection cannot go on.
        allow: Methods that the path takes.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        text: str,
        *,
        column: str = "",
        row: int | None = None,
        retry_after: int | None = None,
        close: bool = False,
        allow: str = "",
    ) -> None:
        super().__init__(text)
        self.status, self.reason, self.text = status, reason, text
        self.column, self.row, self.retry_after, self.close, self.allow = column, row, retry_after, close, allow

    def answer(self) -> Answer:
        """The error as every endpoint says it: `{"error": ...}`, with the column and row to blame."""
        body: dict[str, Any] = {"error": self.text, "reason": self.reason}
        if self.column:
            body["column"] = self.column
        if self.row is not None:
            body["row"] = self.row
        headers = [(b"retry-after", str(self.retry_after).encode())] if self.retry_after is not None else []
        headers += [(b"connection", b"close")] if self.close else []
        headers += [(b"allow", self.allow.encode())] if self.allow else []
        headers += [(b"www-authenticate", b"Bearer")] if self.status == 401 else []
        return Answer(dump(body), self.status, headers=headers)


@dataclass
class Answer:
    """What is sent back."""

    body: bytes = b""
    status: int = 200
    type: bytes = JSON
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)


@dataclass
class Request:
    """A request whose body was not read yet.

    Attributes:
        method: In capitals.
        path: Decoded.
        headers: Lower-case names; of a repeated header the last one.
        receive: ASGI's.
        params: What stands for the names in the route's path.
        started: When it came, by `time.perf_counter`.
        deadline: When it is given up, by the same clock.
        times: Seconds by stage.
        query: What stands behind `?` in the address, as it came.
        model: What it asked for and was answered with, for metrics and logs.
    """

    method: str
    path: str
    headers: Mapping[bytes, bytes]
    receive: Callable[[], Awaitable[Any]]
    params: dict[str, str]
    started: float
    deadline: float
    times: dict[str, float] = field(default_factory=dict)
    model: str = ""
    version: str = ""
    query: bytes = b""

    async def body(self, most: int, timeout_s: float) -> bytes:
        """The body, unpacked.

        Raises:
            Refused: It is larger than `most` bytes, comes too slowly, or is packed in an unknown way.
        """
        length = self.headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > most:
            if int(length) <= FORGOTTEN * most and b"expect" not in self.headers:
                with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
                    await _within(min(timeout_s, FORGETTING_S), self._forget())
            raise _too_large(most)
        begun = time.perf_counter()
        try:
            body = await _within(timeout_s, self._read(most))
        except (TimeoutError, asyncio.TimeoutError):
            text = f"the body did not arrive within {timeout_s:g} seconds"
            raise Refused(408, "slow_body", text, close=True) from None
        self.times["read"] = time.perf_counter() - begun
        return _unpacked(body, self.headers.get(b"content-encoding", b"").strip().lower(), most)

    async def _forget(self) -> bytes:
        """Take the body and keep none of it."""
        while (await self.receive()).get("more_body"):
            pass
        return b""

    async def _read(self, most: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise Refused(400, "disconnected", "the client went away", close=True)
            part = message.get("body", b"")
            size += len(part)
            if size > most:
                raise _too_large(most)
            if not message.get("more_body"):
                return b"".join((*parts, part)) if parts else part
            parts.append(part)


async def _within(seconds: float, body: Coroutine[Any, Any, bytes]) -> bytes:
    if not hasattr(asyncio, "timeout"):  # Python 3.10
        return await asyncio.wait_for(body, seconds)
    async with asyncio.timeout(seconds):  # without a task of its own
        return await body


def _too_large(most: int) -> Refused:
    return Refused(413, "body_bytes", f"the body has more than the {most:,} bytes that are allowed", close=True)


def _unpacked(body: bytes, encoding: bytes, most: int) -> bytes:
    if encoding in (b"", b"identity"):
        return body
    if encoding not in (b"gzip", b"deflate"):
        raise Refused(415, "encoding", "the body's content-encoding must be gzip, deflate or identity")
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # 32: gzip or zlib, as its first bytes say
    try:
        result = unpacker.decompress(body, most + 1)
    except zlib.error:
        raise Refused(400, "encoding", f"the body is not {encoding.decode()}") from None
    if len(result) > most:
        raise _too_large(most)
    if not unpacker.eof:
        raise Refused(400, "encoding", "the packed body ends too early")
    return result


def dump(value: Any) -> bytes:
    """JSON text; numbers of numpy arrays as short as they can be while being read back as they are."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
