"""Answers in the form that clients of language models know; a knowledge base is a model."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from rag.answer import Answered
from rag.rag import How, Rag
from rag.server.asking import SESSION, Chat, Question, citations_of, question_of
from rag.server.events import tell
from rag.server.gate import refused_of
from rag.server.refused import Refused
from rag.server.routes import Json, Route, json_of, left_of, user_of, with_base
from rag.server.service import Service
from rag.server.shelf import Open
from rag.server.users import User

ALIVE_S = 10.0
"""After so long without a word the client is told that the answer is still to come."""


async def models(service: Service, request: Request) -> Response:
    """The knowledge bases that answer."""
    user = user_of(request)
    names = await service.work.run(lambda: service.shelf.names(user), service.config.limits.deadline_s)
    return Json({"object": "list", "data": [_model(name) for name in names]})


async def model(service: Service, request: Request) -> Response:
    """One of them."""
    name = request.path_params["model"]
    service.shelf.check(name, user_of(request))
    return Json(_model(name))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "easyrec"}


async def completions(service: Service, request: Request) -> Response:
    """An answer, at once or as its words come."""
    user, body = user_of(request), await json_of(service, request, Chat)
    limits = service.config.limits
    question = question_of(body, limits)
    service.shelf.check(body.model, user)
    if service.rag.llm is None:
        raise Refused(400, "no_model", "the server has no language model: 'llm' is missing in its config")
    service.quotas.check_tokens(user)
    answering = Answering(service, user, body, question, left_of(request, limits.answer_s))
    await answering.begin()
    if not body.stream:
        return Json(await answering.whole())
    first = await answering.first()  # what is wrong from the start has a status of its own
    return StreamingResponse(
        answering.events(first), media_type="text/event-stream", headers={"x-accel-buffering": "no"}
    )


class Answering:
    """An answer that is being given: a thread of its own runs the pipeline, and is waited for.

    Args:
        service: What it works with.
        user: Who asks.
        body: What was sent.
        question: What it asks.
        seconds: How long it may take.
    """

    def __init__(self, service: Service, user: User, body: Chat, question: Question, seconds: float) -> None:
        self._service, self._user, self._body, self._question = service, user, body, question
        self._begun, self._end = time.monotonic(), time.monotonic() + seconds
        self._pieces: asyncio.Queue[str | Answered | Exception] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._left = False
        self.id, self.created = f"chatcmpl-{uuid.uuid4().hex}", int(time.time())

    async def begin(self) -> None:
        """Wait for a thread, and let it begin.

        Raises:
            Refused: Too many wait.
        """
        lane = self._service.answers
        await lane.enter(self._end)
        try:
            future = lane.begin(self._run)
        except BaseException:
            lane.leave()
            raise
        future.add_done_callback(lambda _: lane.leave())

    def _run(self) -> None:
        """In the thread: hand on what comes, as long as somebody listens."""
        try:
            with ExitStack() as stack:
                opened = stack.enter_context(self._service.shelf.use(self._body.model))
                assert opened.rag is not None
                stream = self._asked(opened.rag)
                stack.callback(getattr(stream, "close", lambda: None))  # ends the model's answer too
                for piece in stream:
                    if isinstance(piece, Answered):
                        self._note(piece)
                    self._tell(piece)
                    if self._left or time.monotonic() > self._end:
                        break
        except Exception as error:  # noqa: BLE001 (the edge of a thread: it is told to who waits)
            self._tell(error)

    def _asked(self, rag: Rag) -> Iterator[str | Answered]:
        """The pieces of the answer."""
        body, question = self._body, self._question
        how: How = {
            "history": question.history,
            "filter": body.filter,
            "access": self._user.access,
            "images": question.images,
            "k": body.k,
        }
        if body.session is None:
            return rag.stream(question.text, **how)
        return rag.chat(question.text, user=self._user.name, session=session_of(body.model, body.session), **how)

    def _tell(self, piece: str | Answered | Exception) -> None:
        self._loop.call_soon_threadsafe(self._pieces.put_nowait, piece)

    def _note(self, answer: Answered) -> None:
        """Count what an answer took, whether or not somebody is still there."""
        sent, received = tokens_of(answer)
        self._service.quotas.use_tokens(self._user, sent + received)
        metrics, base = self._service.metrics, self._body.model
        metrics.add("easyrec_rag_tokens_total", sent, base=base, direction="sent")
        metrics.add("easyrec_rag_tokens_total", received, base=base, direction="received")
        known = "supported" if answer.supported else "unsupported" if answer.known else "unknown"
        metrics.add("easyrec_rag_answers_total", base=base, known=known)

    async def first(self) -> str | Answered:
        """The first piece.

        Raises:
            Refused: The deadline has passed.
            EasyRecError: There is no answer.
        """
        piece = await self._next(self._end)
        if piece is None:
            self._left = True
            raise Refused(504, "deadline", "there was no answer in time")
        self._service.metrics.observe("easyrec_rag_first_word_seconds", time.monotonic() - self._begun)
        return piece

    async def _next(self, end: float) -> str | Answered | None:
        """The next piece, or None when there is none by then.

        Raises:
            EasyRecError: There is no answer.
        """
        try:
            piece = await asyncio.wait_for(self._pieces.get(), max(0.0, end - time.monotonic()))
        except (TimeoutError, asyncio.TimeoutError):
            return None
        if isinstance(piece, Exception):
            raise piece
        return piece

    async def whole(self) -> dict[str, Any]:
        """The answer.

        Raises:
            Refused: The deadline has passed.
            EasyRecError: There is none.
        """
        try:
            piece = await self.first()
            while not isinstance(piece, Answered):
                found = await self._next(self._end)
                if found is None:
                    raise Refused(504, "deadline", "there was no answer in time")
                piece = found
        finally:
            self._left = True
        message = {"role": "assistant", "content": piece.text, "refusal": None, **self._extra(piece)}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        return {**self._head("chat.completion"), "choices": [choice], "usage": self._usage(piece)}

    async def events(self, piece: str | Answered) -> AsyncIterator[bytes]:
        """The answer as it comes; at last the places that it names."""
        try:
            yield self._chunk({"role": "assistant", "content": ""})
            while not isinstance(piece, Answered):
                yield self._chunk({"content": piece})
                found = None
                while found is None:
                    found = await self._next(min(self._end, time.monotonic() + ALIVE_S))
                    if found is None and time.monotonic() >= self._end:
                        raise Refused(504, "deadline", "the answer was not whole in time")
                    if found is None:
                        yield b": still here\n\n"
                piece = found
            yield self._chunk(self._extra(piece), "stop")
            if self._body.stream_options is not None and self._body.stream_options.include_usage:
                yield _event({**self._head("chat.completion.chunk"), "choices": [], "usage": self._usage(piece)})
        except Exception as error:  # noqa: BLE001 (the status is sent: the error is the last event)
            refused = refused_of(error)
            tell(logging.WARNING, "an answer broke off", error, code=refused.code)
            yield _event(refused.body)
        finally:
            self._left = True
        yield b"data: [DONE]\n\n"

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self._body.model}

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return _event({**self._head("chat.completion.chunk"), "choices": [choice]})

    def _extra(self, answer: Answered) -> dict[str, Any]:
        """What is known beside the words."""
        told: dict[str, Any] = {
            "citations": citations_of(answer),
            "known": answer.known,
            "supported": answer.supported,
            "final": answer.text,
        }
        return {**told, "trace": answer.trace.as_json()} if self._body.trace and answer.trace else told

    def _usage(self, answer: Answered) -> dict[str, int]:
        sent, received = tokens_of(answer)
        return {"prompt_tokens": sent, "completion_tokens": received, "total_tokens": sent + received}


async def forgotten(service: Service, request: Request) -> Response:
    """A talk that the server remembers no longer."""
    user, session = user_of(request), request.path_params["session"]
    if not re.fullmatch(SESSION, session):
        raise Refused(404, "unknown_session", "there is no such session")

    def work(opened: Open) -> bool:
        chats = opened.rag.chats if opened.rag is not None else None
        return chats is not None and chats.drop(user.name, session_of(opened.name, session))

    return Json({"id": session, "deleted": await with_base(service, request, work)})


def session_of(base: str, session: str) -> str:
    """What a talk is called: talks with two knowledge bases are two."""
    return f"{base}:{session}"


def tokens_of(answer: Answered) -> tuple[int, int]:
    """Tokens that all steps sent and received."""
    steps = answer.trace.steps if answer.trace is not None else ()
    return sum(step.tokens_in for step in steps), sum(step.tokens_out for step in steps)


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


ROUTES = [
    Route("GET", "/v1/models", models, "The knowledge bases, as models."),
    Route("GET", "/v1/models/{model}", model, "One of them."),
    Route("POST", "/v1/chat/completions", completions, "An answer with the places that say so.", body=Chat),
    Route("DELETE", "/v1/kb/{base}/sessions/{session}", forgotten, "Forget a talk that the server remembers."),
]
