"""The ASGI application: routes behind the gate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as Path

from feature_generator.errors import FeatureGeneratorError
from rag.server import routes
from rag.server.gate import Gate, refused_of
from rag.server.refused import Refused
from rag.server.service import Service


def app_of(service: Service) -> Gate:
    """The application of a service."""
    paths: dict[int, str] = {}
    methods: dict[str, list[str]] = {}
    made = []
    for route in routes.routes():
        endpoint = _endpoint(service, route)
        endpoint.methods = methods.setdefault(route.path, [])
        endpoint.methods.append(route.method)
        paths[id(endpoint)] = route.path
        made.append(Path(route.path, endpoint, methods=[route.method]))

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.stop()

    handlers: dict[Any, Any] = {HTTPException: _told} | dict.fromkeys(
        (Refused, FeatureGeneratorError, Exception), _answered
    )
    app = Starlette(routes=made, lifespan=lifespan, exception_handlers=handlers)
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


async def _answered(request: Request, error: Exception) -> Response:
    """What is wrong, as clients read it; the gate writes it down."""
    refused = refused_of(error)
    request.state.code, request.state.error = refused.code, error
    return JSONResponse(refused.body, refused.status, headers=refused.headers)


async def _told(request: Request, error: Exception) -> Response:
    """What is wrong with a path or a method."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allow = ", ".join(getattr(request.scope.get("endpoint"), "methods", ()))
        refused = Refused(405, "method", f"this path takes {allow}", headers={"allow": allow})
    else:
        refused = Refused(404, "unknown_path", f"nothing is served at '{request.url.path[:100]}'")
    return await _answered(request, refused)
