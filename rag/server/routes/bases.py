"""Knowledge bases: make, look at, set and remove them."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from feature_generator.config import StrictModel
from rag.bases import NAME
from rag.chat import Chats
from rag.server.refused import Refused
from rag.server.routes import Json, Route, base_of, json_of, left_of, user_of
from rag.server.routes.chat import session_of
from rag.server.service import Service


class NewBase(StrictModel):
    """A knowledge base that is to be made."""

    name: str = Field(json_schema_extra={"pattern": f"^{NAME.pattern}$"})  # `Bases` says what is wrong with one
    settings: dict[str, Any] = {}
    """`language`, `chunker`, `search`, `answer`, as in `rag.yaml`."""


class BaseChange(StrictModel):
    """Other settings of one."""

    settings: dict[str, Any] = Field(min_length=1)
    """Each section that is given takes the place of that section."""


async def listed(service: Service, request: Request) -> Response:
    """All that there are for this key."""

    def work() -> list[str]:
        return service.shelf.names(user_of(request))

    names = await service.work.run(work, left_of(request, service.config.limits.deadline_s))
    return Json({"object": "list", "data": [{"id": name} for name in names]})


async def made(service: Service, request: Request) -> Response:
    """One more."""
    body = await json_of(service, request, NewBase)
    if not user_of(request).sees(body.name):
        raise Refused(403, "forbidden", "this key is for other knowledge bases", param="name")
    await service.work.run(
        lambda: service.shelf.create(body.name, body.settings), left_of(request, service.config.limits.deadline_s)
    )
    return Json(await _told(service, request, body.name), 201)


async def shown(service: Service, request: Request) -> Response:
    """What one has, and its settings."""
    return Json(await _told(service, request, base_of(service, request)))


async def changed(service: Service, request: Request) -> Response:
    """Other settings."""
    name = base_of(service, request)
    body = await json_of(service, request, BaseChange)
    await service.work.run(
        lambda: service.shelf.change(name, body.settings), left_of(request, service.config.limits.deadline_s)
    )
    return Json(await _told(service, request, name))


async def removed(service: Service, request: Request) -> Response:
    """One less, with its files, tasks and talks."""
    name = base_of(service, request)

    def work() -> None:
        service.shelf.drop(name)
        service.evaluations.drop(name)
        for file in service.tasks.forget(name):
            service.files.drop(file)
        if service.rag.chat is not None:
            with Chats(service.rag.chat) as chats:
                chats.forget_named(session_of(name, ""))

    await service.work.run(work, left_of(request, service.config.limits.deadline_s))
    return Json({"id": name, "deleted": True})


async def _told(service: Service, request: Request, name: str) -> dict[str, Any]:
    access = user_of(request).access

    def work() -> dict[str, Any]:
        with service.shelf.use(name) as opened:
            documents = opened.base.documents(access)
            return {
                "id": name,
                "documents": len(documents),
                "chunks": sum(document.chunks for document in documents),
                "settings": service.shelf.settings.shown(opened.config),
            }

    return await service.work.run(work, left_of(request, service.config.limits.deadline_s))


ROUTES = [
    Route("GET", "/v1/kb", listed, "All knowledge bases that there are for this key."),
    Route("POST", "/v1/kb", made, "Make one.", "admin", body=NewBase, status=201),
    Route("GET", "/v1/kb/{base}", shown, "How many documents and chunks one has, and its settings."),
    Route("PATCH", "/v1/kb/{base}", changed, "Give one other settings.", "admin", body=BaseChange),
    Route("DELETE", "/v1/kb/{base}", removed, "Remove one with all that it has.", "admin"),
]
