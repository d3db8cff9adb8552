"""The paths of a store's server."""

from __future__ import annotations

from functools import partial
from typing import Any

from easyrec.store.codec import read_type
from serving.server import store_numbers
from serving.server.endpoints import Route
from serving.server.http import Answer, Refused, Request, dump
from serving.server.metrics import exposition
from serving.store.question import ARROW, Question, read_json, write_arrow, write_json
from serving.store.service import StoreService


async def read(service: StoreService, request: Request) -> Answer:
    """The columns that a model reads of some ids."""
    service.admission.check()
    limits = service.config.limits
    arrow = _wants_arrow(request.headers.get(b"accept", b""))
    body = await request.body(limits.body_bytes, limits.body_timeout_s)

    def open_() -> Question:
        question = read_json(body, limits)
        named = request.params.get("name", "")
        if named and question.model:
            raise Refused(400, "unknown_key", "the path names the model already", column="model")
        question.model = question.model or named
        return question

    def write(question: Question, model: str, found: Any) -> Answer:
        if arrow:
            return Answer(write_arrow(question, found), type=ARROW)
        return Answer(write_json(question, model, found))

    return await service.ask(request, open_, write, len(body))


def _wants_arrow(accept: bytes) -> bool:
    """Whether a client takes Arrow streams, and no JSON before them."""
    kinds = [part.partition(b";")[0].strip().lower() for part in accept.split(b",")]
    known = [kind for kind in kinds if kind in (ARROW, b"application/json", b"*/*")]
    return bool(known) and known[0] == ARROW


async def models(service: StoreService, request: Request) -> Answer:
    """What may be asked for."""
    found = {
        name: {
            join: {called: read_type(view.types[field]) for called, (view, field) in entity.columns.items()}
            for join, entity in reader.entities.items()
        }
        for name, reader in service.readers.items()
    }
    return Answer(dump({"project": service.definitions.project, "models": found}))


async def live(service: StoreService, request: Request) -> Answer:
    """Whether it runs."""
    return Answer(dump({"live": True}))


async def ready(service: StoreService, request: Request) -> Answer:
    """Whether it takes requests, and holds in memory what it is to hold."""
    return Answer(dump({"ready": service.ready}), 200 if service.ready else 503)


async def metrics(service: StoreService, request: Request) -> Answer:
    """The sum of all processes' numbers."""
    states = [service.board.tell(service.numbers()), *service.board.others()]
    return Answer(exposition(states), type=b"text/plain; version=0.0.4; charset=utf-8")


async def stats(service: StoreService, request: Request) -> Answer:
    """This process' numbers, by view."""
    return Answer(dump(store_numbers.shown(service.definitions.project, service.near, service.readers)))


OBJECT: dict[str, Any] = {"type": "object"}
BODY: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["ids"],
    "properties": {
        "model": {"type": "string"},
        "ids": {"type": "object", "additionalProperties": {"type": "array", "items": {"type": ["string", "integer"]}}},
        "deadline_ms": {"type": "number", "exclusiveMinimum": 0},
    },
}
_read = partial(Route, "POST", handler=read, summary="Columns of some ids.", body=BODY, schema=OBJECT)
ROUTES = [
    _read("/read"),
    _read("/models/{name}/read"),
    Route("GET", "/models", models, "Models with their ids, columns and types.", schema=OBJECT),
    Route("GET", "/health/live", live, "Whether the server runs.", "open", schema=OBJECT),
    Route("GET", "/health/ready", ready, "Whether it is ready.", "open", answers={200: "ready", 503: "not ready"}),
    Route("GET", "/metrics", metrics, "Counters and histograms for Prometheus.", "open"),
    Route("GET", "/stats", stats, "Rates, times and freshness by view.", schema=OBJECT),
]
