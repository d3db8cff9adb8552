"""A talk as clients of language models send it, as a question with what was said before it."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from easyrec.llm.client import Message
from rag.answer import Answered
from rag.server.config import LimitsConfig
from rag.server.refused import Refused
from rag.server.routes.searches import hit_told

SESSION = r"^[A-Za-z0-9_.@+-]{1,60}$"
IMAGE_BYTES = 4 << 20
TALK = 10
"""Times as many messages may be sent as are read."""
STARTS = {"image/png": b"\x89PNG", "image/jpeg": b"\xff\xd8\xff", "image/gif": b"GIF8", "image/webp": b"RIFF"}


class Lenient(BaseModel):
    """What clients send may have more keys than are read here, as they know more models than this one."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Said(Lenient):
    """A turn."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, Any]] | None = None


class StreamOptions(Lenient):
    """How an answer comes."""

    include_usage: bool = False


class Chat(Lenient):
    """A talk; `model` is the knowledge base that answers. Instructions (`system`) of clients are not followed."""

    model: str = Field(min_length=1)
    messages: list[Said] = Field(min_length=1)
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: int = Field(1, strict=True)
    filter: dict[str, Any] | None = None
    """Beside what other models know: what must hold of the documents."""
    k: int | None = Field(None, ge=1, strict=True)
    """Beside what other models know: how many chunks the answer is made of."""
    session: Annotated[str, StringConstraints(pattern=SESSION)] | None = None
    """Beside what other models know: a talk that the server remembers (`chat` in its config), then the last message is enough."""
    trace: bool = False
    """Beside what other models know: whether to tell what each step did."""


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        text: The last turn.
        history: Those before it.
        images: What comes with the last turn.
    """

    text: str
    history: tuple[Message, ...]
    images: tuple[bytes, ...] = field(default=(), repr=False)


def question_of(body: Chat, limits: LimitsConfig) -> Question:
    """The question of a talk.

    Raises:
        Refused: There is none, or it holds what is not taken.
    """
    if body.n != 1:
        raise Refused(400, "n", "one answer is given to a question", param="n")
    if body.k is not None and body.k > limits.k:
        raise Refused(400, "k", f"must be at most {limits.k}", param="k")
    if len(body.messages) > TALK * limits.messages:
        most = TALK * limits.messages
        text = f"a talk has at most {most:,} messages, but this one has {len(body.messages):,}: send the latest ones"
        raise Refused(400, "messages", text, param="messages")
    said = [one for one in body.messages if one.role in ("user", "assistant")]
    if not said or said[-1].role != "user":
        raise Refused(400, "messages", "the last message must be the user's", param="messages")
    text, images = _content(said[-1], limits)
    if not text.strip():
        raise Refused(400, "messages", "the last message has no words", param="messages")
    if len(text) > limits.question_characters:
        most = limits.question_characters
        raise Refused(400, "messages", f"a question has at most {most:,} characters", param="messages")
    history = []
    for one in said[-limits.messages : -1]:
        words = _content(one, limits)[0][: limits.question_characters]
        if words.strip():
            history.append(Message("user" if one.role == "user" else "assistant", words))
    return Question(text, tuple(history), tuple(images))


def _content(said: Said, limits: LimitsConfig) -> tuple[str, list[bytes]]:
    """The words and the pictures of a turn."""
    if said.content is None or isinstance(said.content, str):
        return said.content or "", []
    words: list[str] = []
    images: list[bytes] = []
    for part in said.content:
        kind = part.get("type")
        if kind == "text" and isinstance(part.get("text"), str):
            words.append(part["text"])
        elif kind == "image_url" and isinstance(part.get("image_url"), dict):
            images.append(_image(part["image_url"].get("url")))
        else:
            raise Refused(400, "content", "a part of a message must be 'text' or 'image_url'", param="messages")
    if len(images) > limits.images:
        raise Refused(400, "images", f"a message has at most {limits.images} pictures", param="messages")
    return "\n".join(words), images


def _image(url: Any) -> bytes:
    """A picture out of an address that holds it: nothing is fetched from elsewhere."""
    head, _, body = url.partition(",") if isinstance(url, str) else ("", "", "")
    kind = head.removeprefix("data:").removesuffix(";base64")
    if not head.startswith("data:") or kind not in STARTS or not head.endswith(";base64"):
        text = f"a picture must come as data:TYPE;base64,... with a type of: {', '.join(STARTS)}"
        raise Refused(400, "image_url", text, param="messages")
    try:
        content = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if not content.startswith(STARTS[kind]) or len(content) > IMAGE_BYTES:
        text = f"a picture is not what it says, or has more than {IMAGE_BYTES:,} bytes"
        raise Refused(400, "image_url", text, param="messages")
    return content


def citations_of(answer: Answered) -> list[dict[str, Any]]:
    """The places that an answer names, as clients see them."""
    found = []
    for citation in answer.citations:
        told = hit_told(citation.hit)
        pages = sorted({p["page"] for p in told["places"] if p["page"] is not None})
        found.append({**told, "number": citation.number, "page": pages[0] if pages else None})
    return found
