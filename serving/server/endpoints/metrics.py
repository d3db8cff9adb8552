"""`GET /metrics`: what all processes counted, as Prometheus reads it."""

from __future__ import annotations

from serving.server.endpoints import Route
from serving.server.http import Answer, Request
from serving.server.metrics import exposition
from serving.server.service import Service


async def metrics(service: Service, request: Request) -> Answer:
    """The sum of all processes' numbers."""
    states = [service.board.tell(service.numbers()), *service.board.others()]
    return Answer(exposition(states), type=b"text/plain; version=0.0.4; charset=utf-8")


ROUTES = [Route("GET", "/metrics", metrics, "Counters and histograms for Prometheus.", "open")]
