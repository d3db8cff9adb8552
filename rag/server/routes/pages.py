"""Pages: where a citation leads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from easyrec.errors import DataError
from rag.records import Part, Stored
from rag.server.refused import Refused
from rag.server.routes import Json, Route, number_in, with_chunk, with_document
from rag.server.service import Service
from rag.server.shelf import Open

AROUND = 2
"""Chunks before and behind the one that is cited, where there are no pages."""
PNG = b"\x89PNG"


async def page(service: Service, request: Request) -> Response:
    """A page of a PDF file as a picture with the chunk's places marked; of other files the passage in words."""
    number = number_in(request, "page")
    asked = request.query_params.get("chunk", "")
    if asked and not (asked.isascii() and asked.isdigit() and len(asked) <= 18):
        raise Refused(400, "chunk", "'chunk' must be the number of one", param="chunk")

    def work(opened: Open, found: Stored) -> Response:
        parts = opened.base.records.parts_of(found.id)
        cited = [part for part in parts if asked and part.id == int(asked)]
        if asked and not cited:
            raise Refused(404, "unknown_chunk", f"there is no chunk {asked} in this document")
        original = _original(service, opened, found)
        if original is not None and original.suffix.lower() == ".pdf":
            boxes = [place.box for part in cited for place in part.chunk.places if place.page == number and place.box]
            pixels = service.config.limits.page_pixels
            try:
                content = service.pictures.page(original, number, pixels, boxes)
            except DataError as error:
                raise Refused(404, "page", error.reason) from None
            return Response(content, media_type="image/png")
        return Json(_passage(found, parts, cited, number))

    answer: Response = await with_document(service, request, work)
    return answer


def _original(service: Service, opened: Open, document: Stored) -> Path | None:
    """The file that a document was read from, if it is still there."""
    kept = service.tasks.file(opened.name, document.source)
    if kept is not None:
        path = service.files.path(kept)
        return path if path.is_file() else None
    return opened.base.original(document.source)


def _passage(document: Stored, parts: list[Part], cited: list[Part], number: int) -> dict[str, Any]:
    """What stands on a page, or around the chunk that is cited."""
    on_page = [part for part in parts if any(place.page == number for place in part.chunk.places)]
    if not on_page and cited:
        at = parts.index(cited[0])
        on_page = parts[max(0, at - AROUND) : at + AROUND + 1]
    if not on_page:
        raise Refused(404, "page", f"there is nothing on page {number}")
    marked = {part.id for part in cited}
    passages = [
        {
            "chunk": part.id,
            "text": part.chunk.text,
            "headings": list(part.chunk.path),
            "kind": part.chunk.kind,
            "line": next((place.line for place in part.chunk.places if place.line is not None), None),
            "marked": part.id in marked,
        }
        for part in on_page
    ]
    return {"source": document.source, "page": number, "passages": passages}


async def figure(service: Service, request: Request) -> Response:
    """The picture of a chunk that is a figure."""

    def work(opened: Open, part: Part) -> Response:
        content = opened.base.figure(part.id)
        if content is None:
            raise Refused(404, "figure", "this chunk has no picture")
        return Response(content, media_type="image/png" if content.startswith(PNG) else "image/jpeg")

    answer: Response = await with_chunk(service, request, work)
    return answer


ROUTES = [
    Route(
        "GET",
        "/v1/kb/{base}/pages/{document}/{page}",
        page,
        "A page with the places of a chunk marked: a PNG of PDF files, the passage in words of others.",
        query={"chunk": "The chunk whose places are marked."},
        type="image/png",
    ),
    Route("GET", "/v1/kb/{base}/chunks/{chunk}/figure", figure, "The picture of a figure.", type="image/png"),
]
