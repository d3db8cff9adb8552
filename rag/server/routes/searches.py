"""Searches: the chunks that fit a question, with how they were found."""

from __future__ import annotations

import time
from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from easyrec.llm.client import metered
from feature_generator.config import StrictModel
from rag.knowledge import Hit
from rag.server.refused import Refused
from rag.server.routes import Json, Route, json_of, user_of, with_base
from rag.server.routes.chunks import part_told
from rag.server.service import Service
from rag.server.settings import search_with
from rag.server.shelf import Open


class Search(StrictModel):
    """What is looked for."""

    query: str = Field(min_length=1)
    k: int | None = Field(None, ge=1)
    """How many chunks; default: as the knowledge base is set."""
    filter: dict[str, Any] | None = None
    """What must hold of their documents: `{"team": ["shop", "ads"], "year": {"gte": 2025}}`."""
    search: dict[str, Any] = {}
    """Keys of `search` in `rag.yaml`, in the place of the knowledge base's."""
    rerank: bool | None = None
    """Whether the best ones are looked at again; default: where the server has a reranker."""
    pipeline: bool = False
    """Whether all that stands before an answer is done, as another wording of the question; then `search` cannot be said."""


async def search(service: Service, request: Request) -> Response:
    """The chunks that fit best."""
    user = user_of(request)
    body = await json_of(service, request, Search)
    limits = service.config.limits
    if len(body.query) > limits.question_characters:
        text = f"has more than {limits.question_characters:,} characters"
        raise Refused(400, "query", text, param="query")
    if body.k is not None and body.k > limits.k:
        raise Refused(400, "k", f"must be at most {limits.k}", param="k")
    if body.rerank and service.shelf.reranker is None:
        raise Refused(400, "rerank", "the server has no reranker", param="rerank")
    if body.pipeline and (body.search or body.rerank is not None):
        raise Refused(400, "pipeline", "the pipeline says how it searches: leave out 'search' and 'rerank'")
    service.quotas.check_tokens(user)

    def work(opened: Open) -> dict[str, Any]:
        begun = time.perf_counter()
        trace = None
        if body.pipeline:
            if opened.rag is None:
                raise Refused(400, "no_model", "the server has no language model: 'llm' is missing in its config")
            found = opened.rag.search(body.query, filter=body.filter, access=user.access, k=body.k)
            service.quotas.use_tokens(user, sum(s.tokens_in + s.tokens_out for s in found.trace.steps))
            hits, trace = found.hits, found.trace.as_json()
        else:
            given = body.search if body.k is None else {**body.search, "k": body.k}
            how = search_with(opened.config, given)
            if "k" in given and how.k > limits.k:  # as a text, too
                raise Refused(400, "k", f"must be at most {limits.k}", param="k")
            reranker = None if body.rerank is False else service.shelf.reranker
            with metered() as meter:
                try:
                    hits = opened.base.search(
                        body.query, how, filter=body.filter, access=user.access, reranker=reranker
                    )
                finally:
                    service.quotas.use_tokens(user, meter.usage.tokens)
        seconds = round(time.perf_counter() - begun, 6)
        told: dict[str, Any] = {"object": "list", "data": [hit_told(hit) for hit in hits], "seconds": seconds}
        return told if trace is None else {**told, "trace": trace}

    return Json(await with_base(service, request, work))


def hit_told(hit: Hit) -> dict[str, Any]:
    """A hit as clients see it."""
    told = {**part_told(hit.part), "text": hit.text, "score": hit.score, "scores": dict(hit.parts)}
    return told if hit.via is None else {**told, "via": {"kind": hit.via.kind, "text": hit.via.text}}


ROUTES = [Route("POST", "/v1/kb/{base}/search", search, "The chunks that fit a question.", body=Search)]
