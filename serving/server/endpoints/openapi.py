"""`GET /openapi.json`: the endpoints, described for clients and their generators."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from easyrec.errors import version
from serving.server import endpoints
from serving.server.endpoints import Route
from serving.server.http import Answer, Request, dump
from serving.server.service import Service

ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error", "reason"],
    "properties": {
        "error": {"type": "string"},
        "reason": {"type": "string"},
        "column": {"type": "string"},
        "row": {"type": "integer"},
    },
}
EVERY = {400: "the request is not as it must be", 404: "no such model, version or path", 405: "another method"}
WITH_TOKEN = {401: "a token is needed", 403: "another token is needed"}
LOADED = {503: "starting or draining"}
SCORED = {
    408: "the body came too slowly",
    413: "the body is too large",
    415: "the body is packed in an unknown way",
    429: "too many requests wait",
    504: "the deadline passed",
}


async def openapi(service: Service, request: Request) -> Answer:
    """The description."""
    return Answer(_text())


@cache
def _text() -> bytes:
    return dump(description())


def description(own: Iterable[Route] | None = None) -> dict[str, Any]:
    """All routes as OpenAPI 3.1 describes them.

    Args:
        own: They; default: those of a server of models.
    """
    paths: dict[str, Any] = {}
    for route in endpoints.routes() if own is None else own:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "easyrec", "version": version()},
        "paths": paths,
        "components": {
            "schemas": {"Error": ERROR},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    told = {**EVERY, **LOADED, **(SCORED if route.body else {}), **(WITH_TOKEN if route.access != "open" else {})}
    good = {"content": {"application/json": {"schema": route.schema}}} if route.schema else {}
    bad = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
    answers: dict[str, Any] = {str(status): {"description": text, **bad} for status, text in told.items()}
    for status, text in route.answers.items():
        body = good if status < 400 or "ready" in route.path else bad
        answers[str(status)] = {"description": text, **body}
    operation: dict[str, Any] = {
        "summary": route.summary,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
            for name in re.findall(r"\{(\w+)\}", route.path)
        ],
        "responses": answers,
    }
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": route.body}}}
    if route.access != "open":
        operation["security"] = [{"token": []}, {}] if route.access == "token" else [{"token": []}]
    return operation


ROUTES = [Route("GET", "/openapi.json", openapi, "This description.", "open", schema={"type": "object"})]
