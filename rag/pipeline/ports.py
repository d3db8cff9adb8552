"""Ports: the names by which steps pass things on, and of what type each is.

A step's `run` takes ports as parameters, those that need not be there with a default, and returns a named tuple whose fields
are ports.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, TypeAlias

from easyrec.llm.client import Message
from rag.answer import Answered
from rag.knowledge import Hit

History: TypeAlias = tuple[Message, ...]
Texts: TypeAlias = tuple[str, ...]
Hits: TypeAlias = tuple[Hit, ...]
Images: TypeAlias = tuple[bytes, ...]
Filter: TypeAlias = Mapping[str, Any] | None
Access: TypeAlias = Collection[str] | None


class Given(NamedTuple):
    """What a run begins with.

    Attributes:
        asked: What was asked, word for word.
        question: The same, until a step words it better.
        history: The turns before it, the oldest first.
        filter: What must hold of what is found.
        access: Whose documents may be found; None: everybody's.
        images: Pictures that belong to the question.
        k: How many chunks are wanted; None: as many as the config says.
    """

    asked: str
    question: str
    history: History
    filter: Filter
    access: Access
    images: Images
    k: int | None


class Asked(NamedTuple):
    """A question that stands by itself."""

    question: str


class Queries(NamedTuple):
    """What is searched for in place of the question."""

    queries: Texts


class Passages(NamedTuple):
    """Texts that what is searched for should resemble."""

    passages: Texts


class Found(NamedTuple):
    """What was found, the best first unless a step orders it otherwise."""

    hits: Hits


class Said(NamedTuple):
    """The answer."""

    answer: Answered
