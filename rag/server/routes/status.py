"""Whether the server runs, what it counts, and how it is asked."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from rag.server.openapi import description
from rag.server.refused import Refused
from rag.server.routes import Json, Route, user_of
from rag.server.service import Service


async def health(service: Service, request: Request) -> Response:
    """Whether it runs."""
    return Json({"live": True})


async def ready(service: Service, request: Request) -> Response:
    """Whether it takes requests."""
    return Json({"ready": service.ready}, 200 if service.ready else 503)


async def metrics(service: Service, request: Request) -> Response:
    """What it counted: of all knowledge bases, by their names."""
    if user_of(request).config.bases is not None:
        raise Refused(403, "forbidden", "this tells of all knowledge bases, and there are some for this key")
    return Response(service.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def openapi(service: Service, request: Request) -> Response:
    """How it is asked."""
    return Json(description())


ROUTES = [
    Route("GET", "/health", health, "Whether the server runs.", None),
    Route("GET", "/ready", ready, "Whether it takes requests.", None),
    Route("GET", "/metrics", metrics, "What it counted, for Prometheus.", type="text/plain"),
    Route("GET", "/openapi.json", openapi, "This description.", None),
]
