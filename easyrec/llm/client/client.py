"""`AsyncClient`: chat, embeddings and ranks from one model's server, inside an event loop."""

from __future__ import annotations

import asyncio
import binascii
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel
from typing_extensions import Self

from easyrec.errors import AnswerError, ModelError
from easyrec.llm.client.answers import (
    list_of,
    tokens_in,
    tokens_kept,
    tokens_of,
    tokens_read,
    tokens_told,
    usage_of,
    vector_of,
    words_of,
)
from easyrec.llm.client.asked import key_of
from easyrec.llm.client.cache import Cache
from easyrec.llm.client.endpoint import Endpoint
from easyrec.llm.client.ledger import Ledger, Usage
from easyrec.llm.client.messages import Answer, Message, Parsed, Piece, user
from easyrec.llm.client.structured import again, form_of, told_in, value_in
from easyrec.llm.client.tape import Tape
from easyrec.llm.client.throttle import Throttle
from easyrec.llm.client.transport import Transport

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")
R = TypeVar("R")
Talk = str | Sequence[Message]


class AsyncClient:
    """Asks a model. All of its calls belong to one event loop; use it as `async with`.

    Args:
        endpoint: Which model, where, and within which limits.
        tape: Plays or records answers.
        transport: What sends; default: one for the endpoint.

    Attributes:
        ledger: What its calls took.

    Raises:
        ConfigError: The variable that holds the key is not set.
        ModelError: The cache cannot be opened.
    """

    def __init__(self, endpoint: Endpoint, *, tape: Tape | None = None, transport: Transport | None = None) -> None:
        self.endpoint = endpoint
        self.ledger = Ledger(endpoint.budget, endpoint.price)
        throttle = Throttle(endpoint.concurrency, endpoint.requests_per_minute, endpoint.tokens_per_minute)
        self._transport = transport or Transport(endpoint, throttle, tape)
        self._cache = None if endpoint.cache is None else Cache(endpoint.cache)
        self._running: dict[str, asyncio.Future[Any]] = {}

    async def open(self) -> None:
        """Load what calls need, which the first one does else: that takes a second, in which the event loop stands still.

        Raises:
            MissingExtra: httpx is not installed.
        """
        await self._transport.open()

    async def close(self) -> None:
        """Close connections and cache."""
        await self._transport.close()
        if self._cache is not None:
            self._cache.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # ------------------------------------------------------------------------------------------------ chat

    async def chat(
        self,
        talk: Talk,
        *,
        max_tokens: int | None = None,
        temperature: float = 0.0,
        seed: int | None = None,
        stop: Sequence[str] = (),
        sample: int = 0,
        more: Mapping[str, Any] | None = None,
    ) -> Answer:
        """What the model answers.

        Args:
            talk: The messages, or what the user says.
            max_tokens: Of the answer; default: the endpoint's.
            temperature: How freely it speaks.
            seed: For servers that draw by one.
            stop: Texts at which it ends.
            sample: The how manieth answer to the same question, where several are wanted and there is a cache.
            more: Fields that this server understands besides.

        Raises:
            BudgetError: It might cost more than is left.
            ModelError: The server cannot be reached, refuses, or answers what is no answer.
        """
        body = self._body(talk, max_tokens, temperature, seed, stop, more)
        key = key_of("chat", self.endpoint.base_url, body, sample)
        found = await self._once(key, lambda: self._ask(body))
        answer, fresh = found
        return answer if fresh else _as_cached(answer)

    async def _once(self, key: str, ask: Callable[[], Awaitable[Answer]]) -> tuple[Answer, bool]:
        """The kept answer, that of an equal question which is being asked, or a new one; and whether it is new."""
        if self._cache is None:
            return await ask(), True
        kept = self._kept(key)
        if kept is not None:
            return kept, False
        running = self._running.get(key)
        if running is not None:
            answer = await asyncio.shield(running)
            self.ledger.note(Usage(hits=1))
            return answer, False
        mine = self._running[key] = asyncio.get_running_loop().create_future()
        mine.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody else may ask for it
        try:
            answer = await ask()
            self._keep(key, answer)
            mine.set_result(answer)
        except BaseException as error:
            mine.set_exception(error if isinstance(error, Exception) else ModelError("the call was given up"))
            raise
        finally:
            del self._running[key]
        return answer, True

    def _kept(self, key: str) -> Answer | None:
        """What was answered to this before, if it was kept."""
        kept = None if self._cache is None else self._cache.answer(key)
        if kept is None:
            return None
        self.ledger.note(Usage(hits=1))
        tokens = tokens_read(kept.get("tokens"))
        return Answer(kept["text"], kept["finish"], Usage(), kept["model"], kept["refusal"], True, tokens)

    def _keep(self, key: str, answer: Answer) -> None:
        """Keep an answer, where there is a cache."""
        if self._cache is not None:
            told: dict[str, Any] = {
                "text": answer.text,
                "finish": answer.finish,
                "model": answer.model,
                "refusal": answer.refusal,
            }
            if answer.tokens:
                told["tokens"] = tokens_kept(answer.tokens)
            self._cache.keep(key, told)

    async def _ask(self, body: dict[str, Any]) -> Answer:
        """Ask the server."""
        sent = tokens_of(body)
        async with self.ledger.reserve(sent, body[self.endpoint.token_limit]) as held:
            said, failed = await self._transport.post("/chat/completions", body, sent)
            try:
                (choice, *_) = said["choices"]
                text, refusal = words_of(choice["message"]), choice["message"].get("refusal")
                finish, tokens = choice.get("finish_reason") or "stop", tokens_told(choice)
            except (KeyError, TypeError, ValueError, AttributeError):
                raise ModelError(f"{self.endpoint.base_url}: the answer holds no message") from None
            held.used = usage_of(said.get("usage"), sent, text, failed)
        model = str(said.get("model") or self.endpoint.model)
        return Answer(text, finish, held.used, model, refusal, tokens=tokens)

    async def stream(
        self,
        talk: Talk,
        *,
        max_tokens: int | None = None,
        temperature: float = 0.0,
        seed: int | None = None,
        stop: Sequence[str] = (),
        more: Mapping[str, Any] | None = None,
    ) -> AsyncIterator[Piece]:
        """What the model answers, as it speaks. Leaving the loop ends the answer.

        What is in the cache, or comes from a server that does not stream, comes in one piece.

        Yields:
            The pieces; the last one holds the whole answer.

        Raises:
            BudgetError: It might cost more than is left.
            ModelError: The server cannot be reached, refuses, or broke off.
        """
        asked = self._body(talk, max_tokens, temperature, seed, stop, more)
        key = key_of("chat", self.endpoint.base_url, asked, 0)  # that of `chat`: the words are the same
        kept = self._kept(key)
        if kept is not None:
            if kept.text:
                yield Piece(kept.text)
            yield Piece("", kept)
            return
        body = {**asked, "stream": True, "stream_options": {"include_usage": True}}
        sent = tokens_of(body)
        words: list[str] = []
        refusals: list[str] = []
        finish, model, counted = "", self.endpoint.model, None
        async with self.ledger.reserve(sent, body[self.endpoint.token_limit]) as held:
            pieces = self._transport.stream("/chat/completions", body, sent)
            try:
                async for piece in pieces:
                    counted = piece.get("usage") or counted
                    model = str(piece.get("model") or model)
                    for choice in list_of(piece.get("choices"))[:1]:
                        whole = choice.get("message")  # of a server that does not stream
                        delta = choice.get("delta") or whole or {}
                        text = words_of(delta)
                        words.append(text)
                        refusals.append(delta.get("refusal") or "")
                        finish = choice.get("finish_reason") or finish or ("stop" if whole else "")
                        if text:
                            yield Piece(text)
            finally:
                held.used = usage_of(counted, sent, "".join(words), 0)
                await pieces.aclose()  # type: ignore[attr-defined]  # it is a generator
            if not finish:
                raise ModelError(f"{self.endpoint.base_url}: the stream broke off before the answer's end")
        answer = Answer("".join(words), finish, held.used, model, "".join(refusals) or None)
        self._keep(key, answer)
        yield Piece("", answer)

    async def structured(
        self,
        talk: Talk,
        schema: type[M],
        *,
        repairs: int = 2,
        max_tokens: int | None = None,
        temperature: float = 0.0,
        seed: int | None = None,
        sample: int = 0,
        more: Mapping[str, Any] | None = None,
    ) -> Parsed[M]:
        """An answer as a value: the server is given the schema, and what comes back is validated.

        Where it is not valid the model is told why and asked again; where it was cut it gets twice the room.

        Args:
            talk: The messages, or what the user says.
            schema: What the answer shall be.
            repairs: How often it is asked again at most.
            max_tokens: As of `chat`, like the rest.
            temperature: Likewise.
            seed: Likewise.
            sample: Likewise.
            more: Likewise.

        Raises:
            AnswerError: It refused, or no answer was valid.
            BudgetError: It might cost more than is left.
            ModelError: The server cannot be reached, refuses, or answers what is no answer.
        """
        told = list(_messages(talk))
        if self.endpoint.json_by != "schema":
            told.insert(0, told_in(schema))
        turns = told
        fields = {**form_of(schema, self.endpoint.json_by), **(more or {})}
        room, used = max_tokens or self.endpoint.max_tokens, Usage()
        for asked in range(repairs + 1):
            answer = await self.chat(
                turns, max_tokens=room, temperature=temperature, seed=seed, sample=sample, more=fields
            )
            used += answer.usage
            if answer.refusal is not None or answer.finish == "content_filter":
                tokens = (used.input, used.output)
                raise AnswerError("the model refused to answer", answer.refusal or answer.text, "refused", tokens)
            found, wrong = value_in(answer.text, schema)
            if found is not None:
                return Parsed(found, answer, asked, used)
            if answer.finish == "length":
                kind, wrong, room = "cut", f"the answer was cut at {room} tokens", 2 * room
            else:
                kind = "unparsed"
                turns = [*told, *again(answer.text, wrong)]
        why = f"the model did not answer as asked ({repairs + 1} times): {wrong}"
        raise AnswerError(why, answer.text, kind, (used.input, used.output))

    def _body(
        self,
        talk: Talk,
        max_tokens: int | None,
        temperature: float,
        seed: int | None,
        stop: Sequence[str],
        more: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        """What is sent."""
        body: dict[str, Any] = {
            "model": self.endpoint.model,
            "messages": [message.as_json() for message in _messages(talk)],
            self.endpoint.token_limit: max_tokens or self.endpoint.max_tokens,
            "temperature": temperature,
        }
        if seed is not None:
            body["seed"] = seed
        if stop:
            body["stop"] = list(stop)
        return {**body, **(more or {})}

    # ------------------------------------------------------------------------------------------ many at once

    async def each(self, items: Iterable[T], work: Callable[[T], Awaitable[R]]) -> list[R]:
        """`work` of each item, as many at a time as the endpoint allows, in the order of the items.

        The first error ends the others and is raised; what had been answered is in the cache, where there is one.
        """
        results: dict[int, R] = {}
        waiting = enumerate(items)

        async def worker() -> None:
            for number, item in waiting:
                results[number] = await work(item)

        tasks = [asyncio.create_task(worker()) for _ in range(self.endpoint.concurrency)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return [results[number] for number in range(len(results))]

    # ------------------------------------------------------------------------------------- embeddings and ranks

    async def embed(
        self,
        texts: Sequence[str],
        *,
        prefix: str = "",
        dimensions: int | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> np.ndarray:
        """The vectors of texts. Equal texts are sent once; those in the cache are not sent.

        Args:
            texts: What is embedded.
            prefix: What this model wants to stand before each, as `query: `.
            dimensions: How many the model shall give, where it can give fewer.
            progress: Is told how many more texts are done.

        Returns:
            (n, d) float32. Of no text: (0, 0).

        Raises:
            BudgetError: It might cost more than is left.
            ModelError: The server cannot be reached, refuses, or answers what are no such vectors.
        """
        keys = [
            key_of("embed", self.endpoint.base_url, self.endpoint.model, dimensions, prefix, text) for text in texts
        ]
        wanted = dict(zip(keys, texts, strict=True))
        found = {} if self._cache is None else self._cache.vectors(list(wanted))
        if found:
            self.ledger.note(Usage(hits=len(found)))
        if progress is not None:
            progress(sum(key in found for key in keys))
        times: dict[str, int] = {}
        for key in keys:
            times[key] = times.get(key, 0) + 1
        missing = [key for key in wanted if key not in found]
        size = self.endpoint.batch

        async def batch(some: list[str]) -> None:
            vectors = await self._embed([prefix + wanted[key] for key in some], dimensions)
            made = dict(zip(some, vectors, strict=True))
            if self._cache is not None:
                self._cache.keep_vectors(made)
            found.update(made)
            if progress is not None:
                progress(sum(times[key] for key in some))

        await self.each((missing[start : start + size] for start in range(0, len(missing), size)), batch)
        widths = {vector.shape[0] for vector in found.values()}
        if len(widths) > 1:
            raise ModelError(f"{self.endpoint.base_url}: gave vectors of different widths: {sorted(widths)}")
        out = np.empty((len(keys), widths.pop() if widths else 0), np.float32)
        for row, key in enumerate(keys):
            out[row] = found[key]
        return out

    async def _embed(self, texts: list[str], dimensions: int | None) -> np.ndarray:
        """Vectors of one request; (n, d) float32."""
        body: dict[str, Any] = {"model": self.endpoint.model, "input": texts, "encoding_format": "base64"}
        if dimensions is not None:
            body["dimensions"] = dimensions
        sent = sum(map(tokens_in, texts))
        async with self.ledger.reserve(sent, 0) as held:
            said, failed = await self._transport.post("/embeddings", body, sent)
            held.used = usage_of(said.get("usage"), sent, "", failed)
        try:
            entries = sorted(said["data"], key=lambda entry: int(entry["index"]))
            if [int(entry["index"]) for entry in entries] != list(range(len(texts))):
                raise ModelError(f"{self.endpoint.base_url}: gave {len(entries)} vectors for {len(texts)} texts")
            vectors = np.stack([vector_of(entry["embedding"]) for entry in entries])
        except (KeyError, TypeError, ValueError, binascii.Error):
            raise ModelError(f"{self.endpoint.base_url}: the answer holds no vectors") from None
        if not np.isfinite(vectors).all():
            raise ModelError(f"{self.endpoint.base_url}: gave a vector that is not finite")
        return vectors

    async def rerank(self, query: str, documents: Sequence[str]) -> np.ndarray:
        """How well each document answers a query, by a model made for that.

        Returns:
            (n,) float32; larger is better, and only the order means something.

        Raises:
            BudgetError: It might cost more than is left.
            ModelError: The server cannot be reached, refuses, or answers what are no such scores.
        """
        scores = np.empty(len(documents), np.float32)
        size = self.endpoint.batch

        async def batch(start: int) -> None:
            some = list(documents[start : start + size])
            scores[start : start + len(some)] = await self._rerank(query, some)

        await self.each(range(0, len(documents), size), batch)
        return scores

    async def _rerank(self, query: str, documents: list[str]) -> np.ndarray:
        """Scores of one request."""
        body = {"model": self.endpoint.model, "query": query, "documents": documents, "top_n": len(documents)}
        sent = sum(map(tokens_in, documents)) + len(documents) * tokens_in(query)
        async with self.ledger.reserve(sent, 0) as held:
            said, failed = await self._transport.post("/rerank", body, sent)
            held.used = usage_of(said.get("usage"), sent, "", failed)
        scores = np.full(len(documents), np.nan, np.float32)
        try:
            for entry in said["results"]:
                number = int(entry["index"])
                if not 0 <= number < len(documents):
                    raise ModelError(f"{self.endpoint.base_url}: ranked document {number} of {len(documents)}")
                scores[number] = entry["relevance_score"]
        except (KeyError, TypeError, ValueError):
            raise ModelError(f"{self.endpoint.base_url}: the answer holds no scores") from None
        if not np.isfinite(scores).all():
            raise ModelError(f"{self.endpoint.base_url}: did not rank every document")
        return scores


def _messages(talk: Talk) -> Sequence[Message]:
    """The messages of a talk."""
    return [user(talk)] if isinstance(talk, str) else talk


def _as_cached(answer: Answer) -> Answer:
    """The answer as it is given to those who did not pay for it."""
    return replace(answer, usage=Usage(), cached=True)
