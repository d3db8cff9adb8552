"""The paths of the server of rewrites."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from serving.rewriting.service import RewriteService
from serving.server.endpoints import Route
from serving.server.http import Answer, Refused, Request, dump
from serving.server.metrics import exposition


class Question(BaseModel):
    """What is asked."""

    model_config = ConfigDict(extra="forbid", strict=True)

    query: str = Field(min_length=1, max_length=1000)
    category: str | None = Field(None, max_length=200)
    brand: str | None = Field(None, max_length=200)
    deadline_ms: float | None = Field(None, gt=0.0, strict=False)


async def rewrite(service: RewriteService, request: Request) -> Answer:
    """Rewrites of a query."""
    kind = request.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != b"application/json":  # what pages of elsewhere can send without being asked for their right to
        raise Refused(415, "content_type", "the body is JSON: content-type must be application/json")
    limits = service.config.limits
    question = _question(await request.body(limits.body_bytes, limits.body_timeout_s))
    left = 1000.0 * (request.deadline - time.perf_counter())
    begun = time.perf_counter()
    wanted = service.wait_ms if question.deadline_ms is None else question.deadline_ms
    served = await service.rewrite(question.query, question.category, question.brand, min(wanted, left))
    request.times["rewrite"] = time.perf_counter() - begun
    told: dict[str, Any] = {"query": question.query, "from": served.origin}
    if served.why:
        told["why"] = served.why
    rewrites = [
        {("rewrite" if name == "text" else name): value for name, value in asdict(one).items() if value is not None}
        for one in served.rewrites
    ]
    return Answer(dump({**told, "rewrites": rewrites}))


def _question(body: bytes) -> Question:
    try:
        return Question.model_validate(orjson.loads(body))
    except orjson.JSONDecodeError as error:
        raise Refused(400, "json", f"the body is not JSON: {error}") from None
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, problem["loc"])) or "body"
        raise Refused(400, "question", f"{where}: {problem['msg']}", column=where) from None


async def live(service: RewriteService, request: Request) -> Answer:
    """Whether it runs."""
    return Answer(dump({"live": True}))


async def ready(service: RewriteService, request: Request) -> Answer:
    """Whether it takes requests."""
    return Answer(dump({"ready": service.ready}), 200 if service.ready else 503)


async def metrics(service: RewriteService, request: Request) -> Answer:
    """Its numbers."""
    return Answer(exposition([service.numbers()]), type=b"text/plain; version=0.0.4; charset=utf-8")


OBJECT: dict[str, Any] = {"type": "object"}
ROUTES = [
    Route("POST", "/rewrite", rewrite, "Rewrites of a query.", body=Question.model_json_schema(), schema=OBJECT),
    Route("GET", "/health/live", live, "Whether the server runs.", "open", schema=OBJECT),
    Route("GET", "/health/ready", ready, "Whether it is ready.", "open", answers={200: "ready", 503: "not ready"}),
    Route("GET", "/metrics", metrics, "Counters and histograms for Prometheus.", "open"),
]
