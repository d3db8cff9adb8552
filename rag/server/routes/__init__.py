"""Paths: one file per family, each with `ROUTES`, and found by lying here."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from feature_generator.config import Document, member, members, problems_of
from feature_generator.native import scan_json
from rag.records import Part, Stored
from rag.server.config import Right
from rag.server.refused import Refused
from rag.server.service import Service
from rag.server.shelf import Open
from rag.server.users import User

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")
Handler: TypeAlias = Callable[[Service, Request], Awaitable[Response]]


@dataclass(frozen=True)
class Route:
    """A path and what answers it.

    Attributes:
        method: How it is asked.
        path: With `{name}` for a part that is free.
        handler: What answers.
        summary: One sentence for the description of the interface.
        right: Who may ask; None: everybody.
        body: What the body holds; None: it has none.
        form: Whether the body is an upload.
        query: What may stand behind `?`, by name: a sentence each.
        status: Of an answer that is no error.
        type: Of its body.
    """

    method: Literal["GET", "POST", "PATCH", "DELETE"]
    path: str
    handler: Handler
    summary: str
    right: Right | None = "read"
    body: type[BaseModel] | None = None
    form: bool = False
    query: Mapping[str, str] = field(default_factory=dict)
    status: int = 200
    type: str = "application/json"


def routes() -> Iterator[Route]:
    """All routes."""
    for name in members(__name__):
        yield from member(__name__, name).ROUTES


class Json(Response):
    """An answer."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Its bytes."""
        return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)


def user_of(request: Request) -> User:
    """Who asks."""
    found: User = request.state.user
    return found


def base_of(service: Service, request: Request) -> str:
    """The knowledge base that a path names.

    Raises:
        Refused: There is none for this user.
    """
    name: str = request.path_params["base"]
    service.shelf.check(name, user_of(request))
    return name


async def with_base(service: Service, request: Request, work: Callable[[Open], T], seconds: float | None = None) -> T:
    """What something makes of the knowledge base that a path names, in a thread that may wait.

    Args:
        service: What it works with.
        request: Whose.
        work: Gets the knowledge base, open.
        seconds: How long it may take; default: as long as whatever is no answer.

    Raises:
        Refused: There is none for this user, or the deadline has passed.
    """
    name = base_of(service, request)

    def opened() -> T:
        with service.shelf.use(name) as found:
            return work(found)

    return await service.work.run(opened, left_of(request, seconds or service.config.limits.deadline_s))


async def with_chunk(service: Service, request: Request, work: Callable[[Open, Part], T]) -> T:
    """What something makes of the chunk that a path names, where this key may see it.

    Raises:
        Refused: There is none.
    """
    number, access = number_in(request, "chunk"), user_of(request).access

    def found(opened: Open) -> T:
        part = opened.base.part(number, access)
        if part is None:
            raise Refused(404, "unknown_chunk", f"there is no chunk {number}")
        return work(opened, part)

    return await with_base(service, request, found)


async def with_document(service: Service, request: Request, work: Callable[[Open, Stored], T]) -> T:
    """What something makes of the document that a path names, where this key may see it.

    Raises:
        Refused: There is none.
    """
    number, access = number_in(request, "document"), user_of(request).access

    def found(opened: Open) -> T:
        document = opened.base.records.document_of(number)
        if document is None or not document.visible(access):
            raise Refused(404, "unknown_document", f"there is no document {number}")
        return work(opened, document)

    return await with_base(service, request, found)


def number_in(request: Request, name: str) -> int:
    """A number in the path.

    Raises:
        Refused: It is none.
    """
    text = request.path_params[name]
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Refused(404, "unknown", f"'{text[:40]}' is no number of a {name}")
    return int(text)


def page_of(request: Request, most: int = 1000, default: int = 100) -> tuple[int, int]:
    """`limit` and `offset` behind `?`.

    Raises:
        Refused: They are none.
    """
    found = []
    for name, usual, top in (("limit", default, most), ("offset", 0, 1 << 53)):
        text = request.query_params.get(name, str(usual))
        if not (text.isascii() and text.isdigit() and len(text) <= 16) or int(text) > top:
            raise Refused(400, "query", f"'{name}' must be a number of at most {top}", param=name)
        found.append(int(text))
    return max(1, found[0]), found[1]


async def json_of(service: Service, request: Request, model: type[M]) -> M:
    """The body.

    Raises:
        Refused: It is not as it must be.
    """
    try:
        content = await request.body()
    except ClientDisconnect:
        raise Refused(400, "disconnected", "the client went away") from None
    depth = service.config.limits.json_depth
    if scan_json(content, depth) is None:
        raise Refused(400, "json_depth", f"the body is nested more than {depth} levels deep")
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise Refused(400, "json", f"the body is not JSON: {error}") from None
    return read(model, value)


def read(model: type[M], value: Any) -> M:
    """A value as a body.

    Raises:
        Refused: It is none, with the first key that is to blame.
    """
    if not isinstance(value, dict):
        raise Refused(400, "json", "the body must be an object")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problems = problems_of(error, Document(value, value))
        told = "; ".join(f"{one.where}: {one.message}" if one.where else one.message for one in problems[:10])
        raise Refused(400, "body", told, param=problems[0].where or None if problems else None) from None


def left_of(request: Request, seconds: float) -> float:
    """What is left of so many seconds since a request came."""
    begun: float = request.state.begun
    return max(0.0, begun + seconds - time.monotonic())
