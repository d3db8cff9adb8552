"""Chunks: look at one, let it say something else, or take it away."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from feature_generator.config import StrictModel
from rag.records import Part
from rag.server.ingesting import shown_chunk
from rag.server.refused import Refused
from rag.server.routes import Json, Route, json_of, user_of, with_chunk
from rag.server.service import Service
from rag.server.shelf import Open


class ChunkChange(StrictModel):
    """Other words of a chunk."""

    text: str = Field(min_length=1, max_length=100_000)


class ChunkParts(StrictModel):
    """The parts of a chunk that is to be several."""

    texts: list[Annotated[str, Field(min_length=1, max_length=100_000)]] = Field(min_length=2, max_length=100)


class Followers(StrictModel):
    """Chunks that follow a chunk, and are to be one with it."""

    chunks: list[int] = Field(min_length=1, max_length=100)


async def shown(service: Service, request: Request) -> Response:
    """A chunk."""
    return Json(await with_chunk(service, request, lambda opened, part: part_told(part)))


async def changed(service: Service, request: Request) -> Response:
    """A chunk that says something else, until its file is put in anew with other content."""
    body = await json_of(service, request, ChunkChange)

    def work(opened: Open, part: Part) -> dict[str, Any]:
        with opened.writing:
            opened.base.edit(part.id, body.text)
        return _now(opened, part)

    return Json(await with_chunk(service, request, work))


async def removed(service: Service, request: Request) -> Response:
    """One less."""

    def work(opened: Open, part: Part) -> dict[str, Any]:
        with opened.writing:
            opened.base.drop(part.id)
        return {"id": part.id, "deleted": True}

    return Json(await with_chunk(service, request, work))


async def split(service: Service, request: Request) -> Response:
    """A chunk that is several from now on."""
    body = await json_of(service, request, ChunkParts)

    def work(opened: Open, part: Part) -> list[dict[str, Any]]:
        with opened.writing:
            made = opened.base.split(part.id, body.texts)
        found = opened.base.records.parts(made)
        return [part_told(found[one]) for one in made if one in found]

    return Json({"object": "list", "data": await with_chunk(service, request, work)})


async def merged(service: Service, request: Request) -> Response:
    """A chunk, and those that follow it, that are one from now on."""
    body, access = await json_of(service, request, Followers), user_of(request).access

    def work(opened: Open, part: Part) -> dict[str, Any]:
        if not all(opened.base.part(one, access) for one in body.chunks):
            raise Refused(404, "unknown_chunk", "there is no such chunk", param="chunks")
        with opened.writing:
            opened.base.merge([part.id, *body.chunks])
        return _now(opened, part)

    return Json(await with_chunk(service, request, work))


def _now(opened: Open, part: Part) -> dict[str, Any]:
    """A chunk as it is after a change."""
    new = opened.base.part(part.id)
    return part_told(new if new is not None else part)


def part_told(part: Part) -> dict[str, Any]:
    """A chunk as clients see it."""
    return {
        "id": part.id,
        "document": part.document,
        "source": part.source,
        "number": part.number,
        **shown_chunk(part.chunk),
    }


ONE = "/v1/kb/{base}/chunks/{chunk}"
ROUTES = [
    Route("GET", ONE, shown, "A chunk."),
    Route("PATCH", ONE, changed, "Let a chunk say something else.", "write", body=ChunkChange),
    Route("DELETE", ONE, removed, "Take a chunk away.", "write"),
    Route("POST", f"{ONE}/split", split, "Let a chunk be several.", "write", body=ChunkParts),
    Route("POST", f"{ONE}/merge", merged, "Let a chunk and those that follow it be one.", "write", body=Followers),
]
