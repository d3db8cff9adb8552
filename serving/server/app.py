"""The ASGI application: finds the endpoint, turns what goes wrong into an answer, and counts."""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any, Protocol

from serving.server.config import Listening
from serving.server.endpoints import Route, routes
from serving.server.events import tell
from serving.server.http import Refused, Request
from serving.server.recent import Recent

if TYPE_CHECKING:
    from serving.server.grpc_server import GRPCServer

KNOWN, SHORT_PATH = 256, 256
"""Paths with names in them that are remembered, and of how many characters."""
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Served(Protocol):
    """What an application is of: a service that starts, stops and counts."""

    @property
    def config(self) -> Listening:
        """Where and within which limits it is served."""

    async def start(self) -> None:
        """Begin to be able to answer."""

    async def stop(self) -> None:
        """Let go of everything."""

    def count(self, request: Request, endpoint: str, status: int, reason: str) -> None:
        """Take note of an answer."""


class App:
    """The application.

    Args:
        service: What its endpoints work with.
        own: Its endpoints; default: those of bundles.
    """

    def __init__(self, service: Served, own: Iterable[Route] | None = None) -> None:
        self.service = service
        self._grpc: GRPCServer | None = None
        self._fixed: dict[str, dict[str, Route]] = {}
        self._free: dict[int, list[tuple[list[str], dict[str, Route]]]] = {}
        self._known: Recent[tuple[dict[str, Route], dict[str, str]]] = Recent(KNOWN)
        for route in routes() if own is None else own:
            self._add(route)
        auth = service.config.auth
        self._admin = [_digest(token) for token in auth.admin] if auth else []
        self._tokens = [*self._admin, *(_digest(token) for token in auth.tokens)] if auth else []
        self._asks = auth is not None and bool(auth.tokens)

    def _add(self, route: Route) -> None:
        if "{" not in route.path:
            self._fixed.setdefault(route.path, {})[route.method] = route
            return
        parts = route.path.split("/")
        known = self._free.setdefault(len(parts), [])
        methods = next((found for path, found in known if path == parts), None)
        if methods is None:
            methods = {}
            known.append((parts, methods))
        methods[route.method] = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or start and stop with the server."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self.service.start()
                if self.service.config.grpc is not None:
                    self._grpc = self.grpc_server()
                    await self._grpc.start()
                await send({"type": "lifespan.startup.complete"})
            else:
                if self._grpc is not None:
                    await self._grpc.stop()
                await self.service.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    def grpc_server(self) -> GRPCServer:
        """What serves the same over gRPC."""
        from serving.server.grpc_server import InferenceServer  # noqa: PLC0415 (an extra)

        return InferenceServer(self.service, self)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, service = time.perf_counter(), self.service
        request = Request(
            scope["method"],
            scope["path"],
            dict(scope["headers"]),
            receive,
            {},
            started,
            started + service.config.limits.deadline_ms / 1000.0,
            query=scope.get("query_string", b""),
        )
        endpoint, reason = "none", ""
        try:
            route = self._find(request)
            endpoint = route.path
            self.allow(route, request)
            self._hurry(request)
            answer = await route.handler(service, request)
        except Refused as refused:
            answer, reason = refused.answer(), refused.reason
        except Exception as error:  # noqa: BLE001 (the process edge: it is told in the log, not to the client)
            tell(logging.ERROR, "a request failed", error, endpoint=endpoint)
            answer, reason = (
                Refused(500, "internal", "an internal error; the server's log tells more").answer(),
                "internal",
            )
        headers = [(b"content-type", answer.type), (b"content-length", str(len(answer.body)).encode()), *answer.headers]
        known = request.headers.get(b"x-request-id", b"")
        if known and len(known) <= 128 and known.isalnum():
            headers.append((b"x-request-id", known))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else answer.body})
        service.count(request, endpoint, answer.status, reason)

    def _find(self, request: Request) -> Route:
        methods = self._fixed.get(request.path)
        if methods is None:
            methods, free = self._known.get(request.path) or self._matched(request.path)
            request.params = dict(free)
        if methods is None:
            raise Refused(404, "unknown_path", f"nothing is served at '{request.path[:100]}'")
        route = methods.get("GET" if request.method == "HEAD" else request.method)
        if route is None:
            raise Refused(
                405, "method", f"'{request.path[:100]}' takes {' or '.join(methods)}", allow=", ".join(methods)
            )
        return route

    def _matched(self, path: str) -> tuple[dict[str, Route] | None, dict[str, str]]:
        """The routes of a path with names in it, and the names."""
        parts = path.split("/")
        for pattern, methods in self._free.get(len(parts), ()):
            free = {a[1:-1]: b for a, b in zip(pattern, parts, strict=True) if a.startswith("{")}
            if all(free.values()) and all(a == b or a.startswith("{") for a, b in zip(pattern, parts, strict=True)):
                if len(path) <= SHORT_PATH:
                    self._known.put(path, (methods, free))
                return methods, free
        return None, {}

    def allow(self, route: Route, request: Request) -> None:
        """Compare the token where one is needed.

        Raises:
            Refused: It is none of those.
        """
        if route.access == "open" or (route.access == "token" and not self._asks):
            return
        if route.access == "admin" and not self._admin:
            raise Refused(403, "no_admin", "no admin's token is configured: set auth.admin")
        scheme, _, token = request.headers.get(b"authorization", b"").partition(b" ")
        given = hashlib.sha256(token.strip()).digest() if scheme.lower() == b"bearer" else b""
        if any(hmac.compare_digest(given, one) for one in (self._admin if route.access == "admin" else self._tokens)):
            return
        if route.access == "admin" and any(hmac.compare_digest(given, one) for one in self._tokens):
            raise Refused(403, "forbidden", "this needs an admin's token")
        raise Refused(401, "token", "this needs a token: Authorization: Bearer ...")

    def _hurry(self, request: Request) -> None:
        """Take the client's deadline where it is sooner than ours.

        Raises:
            Refused: A header is not as it must be.
        """
        if request.method == "POST" and b"upgrade" in request.headers:
            # The HTTP parser takes what follows such headers for another protocol.
            raise Refused(400, "upgrade", "no upgrade to another protocol: have the client speak HTTP/1.1", close=True)
        asked = request.headers.get(b"x-deadline-ms")
        if asked is None:
            return
        try:
            seconds = float(asked) / 1000.0
        except ValueError:
            seconds = -1.0
        if not seconds > 0.0:
            raise Refused(400, "header", "X-Deadline-Ms must be a number above 0")
        request.deadline = min(request.deadline, request.started + seconds)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
