"""Requests to a model's server: sent again where that helps, bounded, and without a secret in what is said of them."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from easyrec.errors import MissingExtra, ModelError
from easyrec.llm.client.endpoint import Endpoint
from easyrec.llm.client.tape import Tape
from easyrec.llm.client.throttle import Throttle

if TYPE_CHECKING:
    import httpx

AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""Answers of servers that are busy or broken for a while."""
BUSY = frozenset({429, 503, 529})
"""Those that ask everybody to wait."""
SAID = 300
"""Characters of a server's error that are shown."""
LINE_BYTES = 1 << 20
"""Of a line of a stream; longer ones are refused."""


class Retry(Exception):  # noqa: N818 (it says what is to be done)
    """A try failed in a way that another one may not.

    Args:
        error: What is said when there is no further one.
        after: Seconds that the server asks for.
    """

    def __init__(self, error: ModelError, after: float | None = None) -> None:
        super().__init__(str(error))
        self.error, self.after = error, after


class Transport:
    """What sends.

    Args:
        endpoint: Where to.
        throttle: Who may send when.
        tape: Plays or records answers instead.
        now: Seconds that never run backwards.
        wait: Lets so many seconds pass.
        draw: Draws between 0 and 1.

    Raises:
        ConfigError: The key's variable is not set.
        MissingExtra: httpx is not installed.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        throttle: Throttle,
        tape: Tape | None = None,
        *,
        now: Callable[[], float] = time.monotonic,
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.endpoint, self.throttle, self.tape = endpoint, throttle, tape
        self._now, self._wait, self._draw = now, wait, draw
        self._key = endpoint.key() if tape is None or tape.records else None
        self._http: httpx.AsyncClient | None = None

    def _client(self) -> httpx.AsyncClient:
        """The connections, made in the event loop that uses them."""
        if self._http is None:
            httpx = _httpx()
            headers = {"User-Agent": "easyrec"}
            if self._key is not None:
                headers["Authorization"] = f"Bearer {self._key}"
            end = self.endpoint
            self._http = httpx.AsyncClient(
                headers=headers,
                timeout=httpx.Timeout(end.timeout_s, connect=end.connect_s, pool=None),
                limits=httpx.Limits(max_connections=end.concurrency, max_keepalive_connections=end.concurrency),
                follow_redirects=False,  # a key is for the server that was named
                verify=end.base_url.startswith("https"),  # certificates take a while to load
            )
        return self._http

    async def open(self) -> None:
        """Load what a request needs, so that the first one doesn't wait for it. Nothing is sent."""
        self._client()
        import anyio  # noqa: PLC0415 (httpx brings it)

        await anyio.sleep(0)  # it loads what belongs to this event loop

    async def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    async def post(self, path: str, body: dict[str, Any], tokens: int) -> tuple[dict[str, Any], int]:
        """Ask, and ask again where that helps.

        Args:
            path: Below the address, as `/chat/completions`.
            body: What is asked.
            tokens: About how many that takes.

        Returns:
            The answer, and how many tries had failed.

        Raises:
            ModelError: No try helped, or none would.
        """
        if self.tape is not None and not self.tape.records:
            return self.tape.answer(path, body), 0

        async def once() -> dict[str, Any]:
            async with self._sent(path, body, tokens) as response:
                return _object(await self._read(response), self.endpoint)

        answer, failed = await self._try(once)
        if self.tape is not None:
            self.tape.keep(path, body, answer)
        return answer, failed

    async def stream(self, path: str, body: dict[str, Any], tokens: int) -> AsyncIterator[dict[str, Any]]:
        """Ask for an answer piece by piece. It is asked again only as long as no piece has come.

        Yields:
            The pieces, as the server sends them.

        Raises:
            ModelError: No try helped, or the stream broke off.
        """
        if self.tape is not None and not self.tape.records:
            for piece in self.tape.pieces(path, body):
                yield piece
            return
        kept: list[dict[str, Any]] = []

        async def begin() -> tuple[Any, AsyncIterator[dict[str, Any]], dict[str, Any] | None]:
            opened = self._sent(path, body, tokens)
            response = await opened.__aenter__()
            try:
                pieces = self._pieces(response)
                first = await _first(pieces)
            except BaseException as error:
                await opened.__aexit__(type(error), error, error.__traceback__)
                raise
            return opened, pieces, first

        (opened, pieces, next_piece), _ = await self._try(begin)
        try:
            while next_piece is not None:
                kept.append(next_piece)
                yield next_piece
                next_piece = await _first(pieces)
        except Retry as broken:
            raise broken.error from None
        finally:
            await opened.__aexit__(None, None, None)
        if self.tape is not None:
            self.tape.keep_pieces(path, body, kept)

    async def _try(self, once: Callable[[], Awaitable[Any]]) -> tuple[Any, int]:
        """What `once` gives at last, and how many tries had failed."""
        end, most = self._now() + self.endpoint.patience_s, self.endpoint.tries
        for failed in range(most):
            try:
                async with asyncio.timeout(max(0.0, end - self._now())):
                    return await once(), failed
            except TimeoutError:  # noqa: PERF203 (each try is a request)
                raise ModelError(
                    f"{self.endpoint.base_url}: no answer within {self.endpoint.patience_s:g} s (patience_s)"
                ) from None
            except Retry as again:
                pause = self._pause(failed, again.after)
                if failed + 1 == most or self._now() + pause >= end:
                    tries = f" ({failed + 1} tries)" if failed else ""
                    raise type(again.error)(f"{again.error}{tries}", again.error.status) from None
                await self._wait(pause)
        raise AssertionError("the last try returns or raises")

    def _pause(self, failed: int, after: float | None) -> float:
        """Seconds before the next try: drawn, so that many who failed at once do not come back at once."""
        end = self.endpoint
        drawn = self._draw() * min(end.longest_wait_s, end.first_wait_s * 2.0 ** min(failed, 30))
        return drawn if after is None else min(end.longest_wait_s, after + drawn)

    @asynccontextmanager
    async def _sent(self, path: str, body: dict[str, Any], tokens: int) -> AsyncIterator[httpx.Response]:
        """A response whose status is good; its body has not been read."""
        address = self.endpoint.base_url + path
        async with self.throttle.turn(tokens):
            with self._told_plainly():
                async with self._client().stream("POST", address, json=body) as response:
                    if response.status_code != 200:
                        await self._refused(response)
                    yield response

    @contextmanager
    def _told_plainly(self) -> Iterator[None]:
        """Errors of the network in our words."""
        httpx, end = _httpx(), self.endpoint
        try:
            yield
        except httpx.ConnectTimeout:
            raise Retry(
                ModelError(f"{end.base_url}: could not be reached within {end.connect_s:g} s (connect_s)")
            ) from None
        except httpx.TimeoutException:
            raise Retry(ModelError(f"{end.base_url}: said nothing for {end.timeout_s:g} s (timeout_s)")) from None
        except httpx.TransportError as error:
            raise Retry(ModelError(f"{end.base_url}: {self._masked(str(error) or type(error).__name__)}")) from None

    async def _refused(self, response: httpx.Response) -> None:
        """Say why the server refuses."""
        status = response.status_code
        said = _told(await self._read(response))
        text = f"{response.url}: HTTP {status}" + (f": {self._masked(said)}" if said else "")
        error = ModelError(text, status)
        if status not in AGAIN:
            raise error
        after = _seconds(response.headers.get("Retry-After"))
        if status in BUSY and after is not None:
            self.throttle.close_for(min(after, self.endpoint.longest_wait_s))
        raise Retry(error, after)

    async def _read(self, response: httpx.Response) -> bytes:
        """The body, unless it is too large."""
        held = bytearray()
        async for chunk in response.aiter_bytes():
            held += chunk
            if len(held) > self.endpoint.answer_bytes:
                raise self._too_large(response.url)
        return bytes(held)

    async def _pieces(self, response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
        """What server-sent events hold, up to `[DONE]`; of a server that does not stream its whole answer, in one piece."""
        address, size = self.endpoint.base_url, 0
        if response.headers.get("content-type", "").startswith("application/json"):
            with self._told_plainly():
                whole = await self._read(response)
            piece = _object(whole, self.endpoint)
            if piece.get("error"):
                raise Retry(ModelError(f"{address}: {self._masked(_told(whole))}"))
            yield piece
            return
        with self._told_plainly():
            async for event in _events(response):
                size += len(event)
                if size > self.endpoint.answer_bytes:
                    raise self._too_large(address)
                if event.strip() == "[DONE]":
                    return
                piece = _object(event.encode(), self.endpoint)
                if piece.get("error"):
                    raise Retry(ModelError(f"{address}: {self._masked(_told(event.encode()))}"))
                yield piece

    def _too_large(self, address: object) -> ModelError:
        """What is said of an answer without an end."""
        return ModelError(f"{address}: the answer is larger than {self.endpoint.answer_bytes} bytes (answer_bytes)")

    def _masked(self, text: str) -> str:
        """What a server said, without the key and not too much of it."""
        if self._key is not None:
            text = text.replace(self._key, "***")
        text = " ".join(text.split())
        return text if len(text) <= SAID else text[:SAID] + " ..."


async def _first(pieces: AsyncIterator[dict[str, Any]]) -> dict[str, Any] | None:
    """The next piece, if there is one."""
    async for piece in pieces:
        return piece
    return None


async def _events(response: httpx.Response) -> AsyncIterator[str]:
    """The data of server-sent events."""
    data: list[str] = []
    async for line in _lines(response):
        if not line:
            if data:
                yield "\n".join(data)
            data = []
        elif line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
    if data:
        yield "\n".join(data)


async def _lines(response: httpx.Response) -> AsyncIterator[str]:
    """Lines of a body as they come; httpx would also split where a text has other separators of lines."""
    held = bytearray()
    async for chunk in response.aiter_bytes():
        held += chunk
        *whole, rest = held.split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r").decode("utf-8", "replace")
        held = rest
        if len(held) > LINE_BYTES:
            raise ModelError(f"{response.url}: a line of the stream is longer than {LINE_BYTES} bytes")
    if held:
        yield held.decode("utf-8", "replace")


def _object(content: bytes, endpoint: Endpoint) -> dict[str, Any]:
    """The object in a body. What is none may be one at the next try: proxies answer with pages now and then."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Retry(ModelError(f"{endpoint.base_url}: the answer is no JSON object"))
    return value


def _told(content: bytes) -> str:
    """What a server says of an error, in any of the forms that are in use."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return content.decode("utf-8", "replace")
    while isinstance(value, dict):
        value = next((value[key] for key in ("error", "message", "detail") if value.get(key)), "")
    return value if isinstance(value, str) else json.dumps(value)


def _seconds(value: str | None) -> float | None:
    """What `Retry-After` asks for."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def _httpx() -> Any:
    """The package.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        import httpx  # noqa: PLC0415 (an extra)
    except ImportError:
        raise MissingExtra("httpx", "llm") from None
    return httpx
