"""Endpoints: one file per family of paths. Each has `ROUTES`, and is found by lying here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from feature_generator.config import member, members
from serving.server.http import Answer, Request

Handler = Callable[[Any, Request], Awaitable[Answer]]
"""Takes the service that it works with."""


@dataclass(frozen=True)
class Route:
    """A path and what answers it.

    Attributes:
        method: GET or POST.
        path: With `{name}` for a part that is free.
        handler: What answers.
        summary: One sentence for the OpenAPI description.
        access: Who may ask: everybody, who has a token, or who has an admin's.
        body: JSON schema of the body; None: it has none.
        answers: What it answers beside the errors that each may, by status: a sentence each.
        schema: JSON schema of the answer of status 200.
    """

    method: Literal["GET", "POST"]
    path: str
    handler: Handler
    summary: str
    access: Literal["open", "token", "admin"] = "token"
    body: Mapping[str, Any] | None = None
    answers: Mapping[int, str] = field(default_factory=lambda: {200: "done"})
    schema: Mapping[str, Any] | None = None


def routes() -> Iterator[Route]:
    """All routes."""
    for name in members(__name__):
        yield from member(__name__, name).ROUTES
