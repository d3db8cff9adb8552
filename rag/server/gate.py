"""`Gate`: what holds for every request: its id, the name it came by, its key, its quota, its bounds, and its count."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from starlette.responses import JSONResponse

from easyrec.errors import BudgetError, ConfigError, DataError, MissingExtra, ModelError
from easyrec.loopback import NAMES, is_named
from feature_generator.errors import FeatureGeneratorError
from rag.server.events import tell
from rag.server.refused import Refused
from rag.server.service import Service
from rag.server.users import User

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ID = re.compile(r"^[A-Za-z0-9_-]{1,64}$")
OPEN = ("/health", "/ready", "/openapi.json")
"""Paths that need no key."""
SAFE = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]


class Gate:
    """Stands before an application.

    Args:
        app: The application.
        service: What keeps users, quotas and counts.
        paths: What each endpoint's path is called in metrics.
    """

    def __init__(self, app: Any, service: Service, paths: Mapping[int, str]) -> None:
        self._app, self._service, self._paths = app, service, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer why not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.monotonic()
        headers = {name.lower().decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        given = headers.get("x-request-id", "")
        number = given if ID.match(given) else uuid.uuid4().hex
        status, user = 0, ""

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = [*SAFE, (b"x-request-id", number.encode())]
                named = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(one for one in own if one[0] not in named)]
            await send(message)

        try:
            found = self._who(scope, headers)
            user = found.name if found is not None else ""
            scope.setdefault("state", {}).update(user=found, request_id=number, begun=begun)
            await self._app(scope, self._bounded(scope, headers, receive), answer)
        except Exception as error:  # noqa: BLE001 (the process' edge: whatever it is, the client is answered)
            refused = refused_of(error)
            scope.setdefault("state", {}).update(code=refused.code, error=error)
            if not status:
                await JSONResponse(refused.body, refused.status, headers=refused.headers)(scope, receive, answer)
        finally:
            state = scope.get("state", {})
            code = state.get("code", "")
            if status >= 500:
                tell(logging.ERROR, "a request failed", state.get("error"), request=number, code=code)
            self._count(scope, number, user, status, code, time.monotonic() - begun)

    def _who(self, scope: Scope, headers: Mapping[str, str]) -> User | None:
        """Whose request it is; None where nobody needs to say so."""
        service = self._service
        host = headers.get("host", "")
        if not service.users.asks:
            if not is_named(host, (*NAMES, service.config.host)):
                raise Refused(403, "host", "this is served under the name of this machine alone")
            origin = headers.get("origin")
            if origin is not None and urlsplit(origin).netloc != host:  # a page of elsewhere, in a browser of here
                raise Refused(403, "origin", "pages of other servers may not ask this one")
        if scope["path"] in OPEN:
            return None
        user = service.users.of(headers.get("authorization", ""))
        if scope["path"] != "/metrics":
            service.quotas.take_request(user)
        return user

    def _bounded(self, scope: Scope, headers: Mapping[str, str], receive: Receive) -> Receive:
        """The body, in bounds."""
        limits = self._service.config.limits
        upload = headers.get("content-type", "").startswith("multipart/form-data")
        most = (limits.file_bytes + (1 << 20)) * limits.files if upload else limits.body_bytes
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > most:
            raise _too_large(most)
        if headers.get("content-encoding", "identity") != "identity":
            raise Refused(415, "encoding", "the body must not be packed")
        size, ended = 0, False
        patience = min(limits.upload_timeout_s, limits.body_timeout_s)
        end = time.monotonic() + limits.upload_timeout_s

        async def bounded() -> Message:
            nonlocal size, ended
            if ended:
                return await receive()  # whether the client has gone
            try:
                message = await asyncio.wait_for(receive(), max(0.0, min(patience, end - time.monotonic())))
            except (TimeoutError, asyncio.TimeoutError):
                raise Refused(408, "slow_body", "the body came too slowly", headers={"connection": "close"}) from None
            if message["type"] == "http.request":
                size += len(message.get("body", b""))
                ended = not message.get("more_body", False)
                if size > most:
                    raise _too_large(most)
            return message

        return bounded

    def _count(self, scope: Scope, number: str, user: str, status: int, code: str, seconds: float) -> None:
        path = self._paths.get(id(scope.get("endpoint")), "none")
        metrics = self._service.metrics
        metrics.add("easyrec_rag_requests_total", path=path, status=str(status))
        metrics.observe("easyrec_rag_seconds", seconds, path=path)
        if code:
            metrics.add("easyrec_rag_refused_total", code=code)
        if self._service.config.log.requests:
            told: dict[str, Any] = {"request": number, "user": user, "method": scope["method"], "path": path}
            told |= {"status": status, "ms": round(1000.0 * seconds, 1), **({"code": code} if code else {})}
            tell(logging.INFO, "request", **told)


def _too_large(most: int) -> Refused:
    text = f"the body has more than the {most:,} bytes that are allowed"
    return Refused(413, "body_bytes", text, headers={"connection": "close"})


def refused_of(error: Exception) -> Refused:
    """What a client is told of an error: of our own machine no more than it needs to know."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, BudgetError):
        return Refused(429, "insufficient_quota", "the budget of the language model is used")
    if isinstance(error, ModelError):
        if error.status == 429:
            return Refused(429, "model_busy", "the language model is busy", retry_after=5.0)
        return Refused(502, "model", "the language model cannot be reached, or gave no answer", retry_after=5.0)
    if isinstance(error, ConfigError):
        return Refused(400, "config", "; ".join(_told(error)))
    if isinstance(error, DataError):
        return Refused(422, "data", error.reason)
    if isinstance(error, MissingExtra):
        return Refused(501, "missing_extra", str(error))
    if isinstance(error, FeatureGeneratorError):
        return Refused(503, "store", "what knowledge bases are kept in cannot be reached", retry_after=5.0)
    return Refused(500, "internal", "an internal error; the server's log tells more")


def _told(error: ConfigError) -> list[str]:
    return [f"{one.where}: {one.message}" if one.where else one.message for one in error.problems]
