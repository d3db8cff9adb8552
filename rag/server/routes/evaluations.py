"""Evaluations: ask a knowledge base questions whose answers are known, and compare what came of it."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from feature_generator.config import StrictModel
from rag.evaluation.questions import Question
from rag.server.refused import Refused
from rag.server.routes import Json, Route, base_of, json_of, left_of, user_of, with_base
from rag.server.service import Service
from rag.server.shelf import Open

QUESTIONS = 2000


class NewEvaluation(StrictModel):
    """Questions that are to be asked."""

    questions: list[Question] = Field(min_length=1, max_length=QUESTIONS)
    """As `easyrec rag qagen` writes them, a line each."""
    name: str = Field("", max_length=100)
    settings: dict[str, Any] = {}
    """`search` and `answer`, in the place of the knowledge base's."""
    metrics: list[str] = Field([], max_length=50)
    """What is measured; default: as the server's config says."""
    answers: bool = False
    """Whether the model is asked too, and judged."""


async def begun(service: Service, request: Request) -> Response:
    """One more."""
    user = user_of(request)
    _sees_all(request)
    body = await json_of(service, request, NewEvaluation)
    keys = [question.key for question in body.questions]
    if len(keys) > len(set(keys)):
        raise Refused(400, "questions", "two questions are the same, or have one id", param="questions")
    if body.answers:
        service.quotas.check_tokens(user)

    def work(opened: Open) -> dict[str, Any]:
        called = body.name or "evaluation"
        begin = service.evaluations.begin
        return begin(opened.name, called, user.name, body.settings, body.questions, body.metrics, body.answers)

    return Json(await with_base(service, request, work), 202)


async def listed(service: Service, request: Request) -> Response:
    """All of a knowledge base."""
    name = base_of(service, request)
    _sees_all(request)
    found = await service.work.run(
        lambda: service.evaluations.of(name), left_of(request, service.config.limits.deadline_s)
    )
    return Json({"object": "list", "data": found})


async def shown(service: Service, request: Request) -> Response:
    """What came of one, and how it does beside another one."""
    _sees_all(request)
    number, other = request.path_params["evaluation"], request.query_params.get("against", "")

    def work(opened: Open) -> dict[str, Any]:
        found = service.evaluations.one(opened.name, number)
        if other:
            found["compared"] = service.evaluations.compared(opened.name, other, number, opened.config)
        return found

    return Json(await with_base(service, request, work))


def _sees_all(request: Request) -> None:
    """Who is asked is asked all documents.

    Raises:
        Refused: This key may not see them.
    """
    if user_of(request).access is not None:
        raise Refused(403, "access", "an evaluation asks all documents, and this key sees some of them")


MANY = "/v1/kb/{base}/evaluations"
ROUTES = [
    Route("POST", MANY, begun, "Ask questions whose answers are known.", "write", body=NewEvaluation, status=202),
    Route("GET", MANY, listed, "What was measured, the latest first."),
    Route(
        "GET",
        f"{MANY}/{{evaluation}}",
        shown,
        "What came of one.",
        query={"against": "Another one, that it is compared with on the questions of both."},
    ),
]
