"""The paths of an engine, beside those of its models."""

from __future__ import annotations

from functools import partial
from typing import Any

from serving.engine.page import policy, trace_page
from serving.engine.posted import asked_by, events_of, question_of, traced_of
from serving.engine.service import EngineService
from serving.server.endpoints import Route, routes
from serving.server.endpoints.openapi import description
from serving.server.http import Answer, Refused, Request, dump
from serving.server.json_body import parse


async def recommend(service: EngineService, request: Request) -> Answer:
    """A list."""
    limits = service.config.limits
    body = await request.body(limits.body_bytes, limits.body_timeout_s)
    return Answer(dump(await service.recommend(request, question_of(parse(body, limits.json_depth)))))


async def events(service: EngineService, request: Request) -> Answer:
    """What users did."""
    if not service.admission.open or not service.engine.is_ready:
        raise Refused(503, service.admission.why, "the server does not take events yet", retry_after=1)
    limits = service.config.limits
    body = await request.body(limits.body_bytes, limits.body_timeout_s)
    found, posted = events_of(parse(body, limits.json_depth), service.engine.config.events)
    if service.engine.config.history.shared:
        work = partial(service.engine.take, found, posted)
        new, _ = await service.admission.run(work, request.deadline)
    else:
        new = service.engine.take(found, posted)
    return Answer(dump({"taken": new, "known": len(found) - new}))


async def health(service: EngineService, request: Request) -> Answer:
    """Whether lists are answered."""
    engine = service.engine
    items = len(engine.plan("").rows) if engine.is_ready else 0
    told = {"ready": service.ready, "scenes": [scene.name for scene in engine.config.scenes], "items": items}
    return Answer(dump(told), 200 if service.ready else 503)


async def trace(service: EngineService, request: Request) -> Answer:
    """How a list came about: asked by a body, or behind `?` with `with.<path>` for what would be."""
    limits = service.config.limits
    if request.method == "POST":
        body = await request.body(limits.body_bytes, limits.body_timeout_s)
        data = parse(body, limits.json_depth)
    else:
        data = asked_by(request.query)
    question, most, about = traced_of(data)
    return Answer(dump(await service.trace(request, question, most, about)))


async def page(service: EngineService, request: Request) -> Answer:
    """A page that asks for traces; it holds nothing by itself."""
    head = [
        (b"content-security-policy", f"{policy(asks=True)}; frame-ancestors 'none'; base-uri 'none'".encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
    ]
    return Answer(trace_page().encode(), type=b"text/html; charset=utf-8", headers=head)


async def openapi(service: EngineService, request: Request) -> Answer:
    """The description of all paths."""
    return Answer(dump(description(engine_routes())))


OBJECT: dict[str, Any] = {"type": "object"}
ID: dict[str, Any] = {"type": ["string", "integer"]}
QUESTION: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["user_id"],
    "properties": {
        "scene": {"type": "string", "description": "Default: the first one."},
        "user_id": ID,
        "size": {"type": "integer", "minimum": 1},
        "user": {"type": "object", "description": "Columns of the user."},
        "context": {"type": "object", "description": "Columns of the request."},
        "request_id": {"type": "string"},
        "time": {"type": "integer", "description": "Milliseconds since 1970; default: now."},
        "page": {"type": "integer", "minimum": 0},
        "seed": {"type": "integer", "minimum": 0},
    },
}
PROPERTIES: dict[str, Any] = QUESTION["properties"]
TRACED: dict[str, Any] = {
    **QUESTION,
    "properties": {
        **PROPERTIES,
        "parameters": {"type": "object", "description": "Other values of the scene, by their paths."},
        "items": {"type": "array", "items": ID, "description": "Tell of these alone, also why they are no candidates."},
        "most": {"type": "integer", "description": "How many candidates are told of."},
    },
}
ONE: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["event_id", "type", "user_id", "item_id"],
    "properties": {
        "event_id": {"type": "string"},
        "type": {"type": "string"},
        "request_id": {"type": "string"},
        "user_id": ID,
        "item_id": ID,
        "time": {"type": "integer"},
        "value": {"type": "number"},
    },
}
EVENTS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["events"],
    "properties": {"events": {"type": "array", "items": ONE}},
}
LIST: dict[str, Any] = {
    "type": "object",
    "required": ["request_id", "scene", "items", "experiments", "degraded", "ms"],
    "properties": {
        "items": {"type": "array", "items": OBJECT},
        "degraded": {"type": "array", "items": {"type": "string"}, "description": "What was left out, and why."},
    },
}
OWN = [
    Route("POST", "/recommend", recommend, "A list of items for a user.", body=QUESTION, schema=LIST),
    Route("POST", "/events", events, "What users did with lists.", body=EVENTS, schema=OBJECT),
    Route("POST", "/trace", trace, "How a list comes about.", "admin", body=TRACED, schema=OBJECT),
    Route("GET", "/trace", trace, "The same, asked behind `?`.", "admin", schema=OBJECT),
    Route("GET", "/ui", page, "A page that asks for traces.", "open"),
    Route("GET", "/openapi.json", openapi, "This description.", "open", schema=OBJECT),
    Route("GET", "/health", health, "Whether lists are answered.", "open", answers={200: "yes", 503: "not yet"}),
]


def engine_routes() -> list[Route]:
    """Those of an engine, and those of a server of models."""
    return [*routes(), *OWN]  # of two for one path the later one answers
