"""The interface as OpenAPI 3.1 describes it, for people, clients and their generators."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from easyrec.errors import version
from rag.server import routes

ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string"},
            },
        }
    },
}
EVERY = {
    400: "the request is not as it must be",
    401: "a key is needed",
    403: "the key lacks a right",
    404: "there is no such thing, or not for this key",
    413: "the body is too large",
    429: "a quota is used, or too many wait: `Retry-After` says how long",
    503: "a store cannot be reached",
    504: "the deadline passed",
}


@cache
def description() -> dict[str, Any]:
    """All routes."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {"Error": ERROR}
    for route in routes.routes():
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "easyrec rag", "version": version()},
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(route: routes.Route, schemas: dict[str, Any]) -> dict[str, Any]:
    free = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    asked = [
        {"name": name, "in": "query", "required": False, "description": text, "schema": {"type": "string"}}
        for name, text in route.query.items()
    ]
    found: dict[str, Any] = {
        "summary": route.summary,
        "operationId": "_".join([route.method.lower(), *re.findall(r"\w+", route.path)]),
        "parameters": [*free, *asked],
        "responses": {str(route.status): {"description": "done", "content": {route.type: {"schema": {}}}}},
    }
    if route.right is not None:
        found["security"] = [{"key": []}]
        found["description"] = f"Needs the right `{route.right}`."
        told = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
        found["responses"] |= {str(status): {"description": text, "content": told} for status, text in EVERY.items()}
    if route.body is not None:
        schema = route.body.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {})
        schemas[route.body.__name__] = schema
        told = {"application/json": {"schema": {"$ref": f"#/components/schemas/{route.body.__name__}"}}}
        found["requestBody"] = {"required": True, "content": told}
    if route.form:
        files = {"type": "array", "items": {"type": "string", "format": "binary"}}
        texts = {name: {"type": "string"} for name in ("folder", "facts", "access", "hold")}
        form = {"type": "object", "required": ["files"], "properties": {"files": files, **texts}}
        found["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": form}}}
    return found
