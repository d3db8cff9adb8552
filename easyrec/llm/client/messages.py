"""What is said to a model, and what it says."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel

from easyrec.llm.client.ledger import Usage

M = TypeVar("M", bound=BaseModel)
Role = Literal["system", "user", "assistant"]
IMAGES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif", b"RIFF": "image/webp"}
"""How pictures begin, by what they are."""


@dataclass(frozen=True)
class Image:
    """A picture in a message.

    Attributes:
        content: PNG, JPEG, GIF or WebP.
    """

    content: bytes = field(repr=False)

    def url(self) -> str:
        """The picture as an address that holds it.

        Raises:
            ValueError: It is none of these formats.
        """
        kinds = [kind for start, kind in IMAGES.items() if self.content.startswith(start)]
        if not kinds:
            raise ValueError("the picture is neither PNG, JPEG, GIF nor WebP")
        return f"data:{kinds[0]};base64,{base64.b64encode(self.content).decode()}"


@dataclass(frozen=True)
class Message:
    """One turn of a talk.

    Attributes:
        role: Who speaks.
        content: What is said; pictures only where the model takes them.
    """

    role: Role
    content: str | Sequence[str | Image] = field(repr=False)

    def as_json(self) -> dict[str, Any]:
        """As servers take it."""
        if isinstance(self.content, str):
            return {"role": self.role, "content": self.content}
        parts = [
            {"type": "text", "text": part}
            if isinstance(part, str)
            else {"type": "image_url", "image_url": {"url": part.url()}}
            for part in self.content
        ]
        return {"role": self.role, "content": parts}


def system(text: str) -> Message:
    """Instructions."""
    return Message("system", text)


def user(*content: str | Image) -> Message:
    """What somebody says or shows."""
    if len(content) == 1 and isinstance(content[0], str):
        return Message("user", content[0])
    return Message("user", content)


@dataclass(frozen=True)
class Token:
    """A token of an answer.

    Attributes:
        text: Its letters.
        logprob: The logarithm of its probability.
        others: The same of those that were most likely there, itself among them mostly.
    """

    text: str = field(repr=False)
    logprob: float
    others: Mapping[str, float] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Answer:
    """What a model said.

    Attributes:
        text: Its words.
        finish: Why it ended: `stop`, `length` (cut at the limit), `content_filter`, or what else the server says.
        refusal: Its words instead, where the server tells refusals apart.
        usage: What that took; nothing where it was cached.
        model: Which model the server says it was.
        cached: Whether it came from the cache.
        tokens: Its tokens with their probabilities, where these were asked for (`more={"logprobs": True, "top_logprobs": 5}`) and
            the server tells them.
    """

    text: str = field(repr=False)
    finish: str
    usage: Usage
    model: str
    refusal: str | None = field(default=None, repr=False)
    cached: bool = False
    tokens: Sequence[Token] = field(default=(), repr=False)


@dataclass(frozen=True)
class Piece:
    """A part of an answer that is still being said.

    Attributes:
        text: The words since the last piece.
        answer: The whole answer, with the last piece alone.
    """

    text: str = field(repr=False)
    answer: Answer | None = None


@dataclass(frozen=True)
class Parsed(Generic[M]):
    """An answer that holds what was asked for.

    Attributes:
        value: It, validated.
        answer: The answer.
        repairs: How often the model had to be asked again.
        usage: What all of that took.
    """

    value: M
    answer: Answer
    repairs: int
    usage: Usage
