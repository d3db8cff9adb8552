"""`Api`: what the page asks of the server, with the key of whoever sits before it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

from easyrec.errors import MissingExtra

EVENT_BYTES = 8 << 20


class Failed(Exception):  # noqa: N818 (it says what became of the request)
    """What the server, or the way to it, says is wrong; people may read it."""


class Api:
    """A server. Any thread may use it.

    Args:
        address: Where it is.
        key: What it is asked with where nobody gives a key.
        timeout_s: How long an answer may take.

    Raises:
        MissingExtra: The package httpx is not installed.
    """

    def __init__(self, address: str, key: str | None, timeout_s: float) -> None:
        try:
            import httpx  # noqa: PLC0415 (an extra)
        except ImportError:
            raise MissingExtra("httpx", "ui") from None
        self._httpx, self._key = httpx, key
        limits = httpx.Timeout(timeout_s, connect=10.0)
        self._client = httpx.Client(base_url=address, timeout=limits, trust_env=False, follow_redirects=False)

    def ask(self, key: str, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """What the server answers.

        Args:
            key: Of who asks; empty: the page's own.
            method: Of HTTP.
            path: Behind the address.
            body: Sent as JSON.
            options: As httpx takes them.

        Raises:
            Failed: It is no answer but an error.
        """
        answer = self._sent(key, method, path, body, **options)
        return answer.json()

    def content(self, key: str, path: str, **options: Any) -> tuple[str, bytes]:
        """The kind and the bytes of what the server has.

        Raises:
            Failed: It has no such thing.
        """
        answer = self._sent(key, "GET", path, None, **options)
        return answer.headers.get("content-type", ""), answer.content

    def upload(self, key: str, base: str, files: Sequence[tuple[str, Path]], fields: Mapping[str, str]) -> Any:
        """The tasks of files that are put in; they are read from the disk as they are sent.

        Raises:
            Failed: They are not taken.
        """
        with ExitStack() as stack:
            parts = [("files", (name, stack.enter_context(path.open("rb")))) for name, path in files]
            return self.ask(key, "POST", f"{kb(base)}/documents", files=parts, data=dict(fields))

    def stream(self, key: str, path: str, body: Any) -> Iterator[dict[str, Any]]:
        """The events of an answer that comes in pieces.

        Raises:
            Failed: There is none, or it broke off.
        """
        try:
            with self._client.stream("POST", path, json=body, headers=self._headers(key)) as answer:
                if answer.status_code >= 400:
                    answer.read()
                    raise Failed(_told(answer))
                for line in answer.iter_lines():
                    data = line.removeprefix("data: ") if line.startswith("data: ") else ""
                    if data == "[DONE]":
                        return
                    if data and len(data) <= EVENT_BYTES:
                        event = json.loads(data)
                        if "error" in event:
                            raise Failed(str(event["error"].get("message", "the answer broke off")))
                        yield event
        except self._httpx.HTTPError as error:
            raise Failed(f"the server cannot be reached: {type(error).__name__}") from None

    def close(self) -> None:
        """Let go of connections."""
        self._client.close()

    def _sent(self, key: str, method: str, path: str, body: Any, **options: Any) -> Any:
        if body is not None:
            options["json"] = body
        try:
            answer = self._client.request(method, path, headers=self._headers(key), **options)
        except self._httpx.HTTPError as error:
            raise Failed(f"the server cannot be reached: {type(error).__name__}") from None
        if answer.status_code >= 400:
            raise Failed(_told(answer))
        return answer

    def _headers(self, key: str) -> dict[str, str]:
        held = key.strip() or self._key or ""
        if not held:
            return {}
        if not held.isascii() or not held.isprintable():
            raise Failed("a key has letters, digits and signs alone")
        return {"authorization": f"Bearer {held}"}


def kb(base: str | None) -> str:
    """The path of a knowledge base.

    Raises:
        Failed: None is chosen.
    """
    if not base:
        raise Failed("choose a knowledge base first")
    return f"/v1/kb/{quote(base, safe='')}"


def _told(answer: Any) -> str:
    """What an error says."""
    try:
        found = answer.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        found = f"the server answered {answer.status_code}"
    after = answer.headers.get("retry-after")
    return f"{found} (try again in {after} s)" if after and answer.status_code == 429 else str(found)
