"""The ASGI application: routes behind the gate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Path

from rag.server import routes
from rag.server.gate import Gate
from rag.server.refused import Refused
from rag.server.service import Service


def app_of(service: Service) -> Gate:
    """The application of a service."""
    paths: dict[int, str] = {}
    made = []
    for route in routes.routes():
        endpoint = _endpoint(service, route)
        paths[id(endpoint)] = route.path
        made.append(Path(route.path, endpoint, methods=[route.method]))

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.stop()

    # A `Refused` is answered by the gate, as is whatever else is raised: starlette's own pages are no JSON.
    app = Starlette(routes=made, lifespan=lifespan, exception_handlers={HTTPException: _told})
    app.router.redirect_slashes = False
    return Gate(app, service, paths)


def _endpoint(service: Service, route: routes.Route) -> Any:
    async def endpoint(request: Request) -> Response:
        if not service.ready and route.right is not None:
            raise Refused(503, "draining", "the server starts or stops", retry_after=2.0)
        if route.right is not None:
            routes.user_of(request).need(route.right)
        return await route.handler(service, request)

    return endpoint


async def _told(request: Request, error: Exception) -> Response:
    """What is wrong with a path or a method."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allow = (error.headers or {}).get("Allow", "")
        raise Refused(405, "method", f"this path takes {allow}", headers={"allow": allow})
    raise Refused(404, "unknown_path", f"nothing is served at '{request.url.path[:100]}'")
