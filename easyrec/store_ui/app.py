"""The ASGI application: who may look, and at what. It changes nothing."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from easyrec.errors import DataError
from easyrec.lineage.graph import Graph
from easyrec.lineage.page import script_source
from easyrec.loopback import NAMES, is_named
from easyrec.store_ui import pages
from easyrec.store_ui.state import State
from feature_generator.errors import FeatureGeneratorError
from serving.server.http import Answer, Refused, Request, dump

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
HTML = b"text/html; charset=utf-8"
COOKIE = "easyrec_store"
BODY_BYTES, BODY_S = 4096, 5.0
log = logging.getLogger(__name__)


class App:
    """The application.

    Args:
        state: Of the store.
        graph: Its lineage.
    """

    def __init__(self, state: State, graph: Graph) -> None:
        self.state, self.graph = state, graph
        ui = state.config.ui
        self._token = None if ui.token is None else hashlib.sha256(ui.token.encode()).digest()
        self._session = secrets.token_urlsafe(32)  # ends with the process
        self._local = ui.local
        policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src {script_source()}; form-action 'self'"
        self._headers = [
            (b"content-security-policy", f"{policy}; frame-ancestors 'none'; base-uri 'none'".encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"cache-control", b"no-store"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        if scope["type"] != "http":
            return
        started = time.perf_counter()
        request = Request(
            scope["method"], scope["path"], dict(scope["headers"]), receive, {}, started, started + BODY_S
        )
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"), max_num_fields=10)
        try:
            answer = await self._answer(request, query)
        except Refused as refused:
            answer = refused.answer()
        except Exception:  # the process edge: it is told in the log, not to the client
            log.exception("a page failed")
            answer = Refused(500, "internal", "an internal error; the log tells more").answer()
        headers = [(b"content-type", answer.type), (b"content-length", str(len(answer.body)).encode())]
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": [*headers, *self._headers, *answer.headers],
            }
        )
        await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else answer.body})

    async def _answer(self, request: Request, query: dict[str, list[str]]) -> Answer:
        self._check_host(request)
        if request.path == "/health":
            return Answer(b"{}")
        if request.path == "/login" and self._token is not None:
            return await self._login(request)
        if request.method not in ("GET", "HEAD"):
            raise Refused(405, "method", "this page is looked at, and changes nothing", allow="GET, HEAD")
        if not self._knows(request):
            if b"text/html" in request.headers.get(b"accept", b""):
                return Answer(b"", 303, headers=[(b"location", b"/login")])
            raise Refused(401, "token", "this needs a token: Authorization: Bearer ...")
        return await asyncio.to_thread(self._shown, request.path, query)

    def _shown(self, path: str, query: dict[str, list[str]]) -> Answer:
        try:
            if path == "/":
                return _html(pages.views_page(self.state))
            if path == "/quality":
                return _html(pages.quality_page(self.state))
            if path == "/monitors":
                return _html(pages.monitors_page(self.state))
            if path == "/versions":
                return _html(pages.versions_page(self.state))
            if path == "/lineage":
                return _html(pages.lineage_page(self.state, self.graph))
            if path == "/state.json":
                return Answer(dump(self.state.told()))
            if path == "/lineage.json":
                return Answer(dump(self.graph.told()))
            if path.startswith("/views/"):
                return self._view(path.removeprefix("/views/"), query)
        except FeatureGeneratorError as error:
            return _html(pages.error_page(self.state.config, str(error)), 503)
        raise Refused(404, "unknown_path", "there is no such page")

    def _view(self, name: str, query: dict[str, list[str]]) -> Answer:
        view = next((view for view in self.state.config.views if view.name == name), None)
        if view is None:
            raise Refused(404, "unknown_view", "there is no such view")
        key = query.get("key", [None])[0]
        found, error = None, ""
        if key is not None:
            try:
                found = self.state.values(view, key)
            except DataError as wrong:
                error = str(wrong)
        return _html(pages.view_page(self.state, view, key, found, error))

    # ------------------------------------------------------------------------------------------- access

    def _check_host(self, request: Request) -> None:
        """A page of elsewhere must not reach this one by a name that it lets point here."""
        host = request.headers.get(b"host", b"").decode("latin-1")
        if self._local and not is_named(host, (*NAMES, self.state.config.ui.host)):
            raise Refused(403, "host", "this is served under the name of this machine alone")

    def _knows(self, request: Request) -> bool:
        """Whether a request comes with the token, or with a cookie that one was given for it."""
        if self._token is None:
            return True
        scheme, _, token = request.headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() == b"bearer" and hmac.compare_digest(hashlib.sha256(token.strip()).digest(), self._token):
            return True
        for part in request.headers.get(b"cookie", b"").decode("latin-1").split(";"):
            name, _, value = part.strip().partition("=")
            if name == COOKIE and hmac.compare_digest(value.encode(), self._session.encode()):
                return True
        return False

    async def _login(self, request: Request) -> Answer:
        project = self.state.config.project
        if request.method in ("GET", "HEAD"):
            return _html(pages.login_page(project, wrong=False))
        if request.method != "POST":
            raise Refused(405, "method", "take GET or POST", allow="GET, HEAD, POST")
        body = await request.body(BODY_BYTES, BODY_S)
        token = parse_qs(body.decode("utf-8", "replace"), max_num_fields=10).get("token", [""])[0]
        assert self._token is not None
        if not hmac.compare_digest(hashlib.sha256(token.encode()).digest(), self._token):
            return _html(pages.login_page(project, wrong=True), 401)
        cookie = f"{COOKIE}={self._session}; HttpOnly; SameSite=Strict; Path=/"
        return Answer(b"", 303, headers=[(b"location", b"/"), (b"set-cookie", cookie.encode())])


def _html(text: str, status: int = 200) -> Answer:
    return Answer(text.encode(), status, HTML)
