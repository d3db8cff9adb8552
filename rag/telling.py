"""What was said before is told to a model as data, as far as there is room."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from easyrec.llm.client import Message
from easyrec.llm.telling import line, seen
from rag.chunkers import pieces, tokens_in


def turns(history: Iterable[Message], room: int) -> list[str]:
    """The last turns of a talk that there is room for, each as a line.

    Args:
        history: The oldest first.
        room: Tokens.
    """
    told: list[str] = []
    for turn in reversed(list(history)):
        text = seen(words_of(turn))
        count = tokens_in(text)
        if count > room:
            break
        room -= count
        told.append(line({"who": turn.role, "said": text}))
    return told[::-1]


def words_of(turn: Message) -> str:
    """What is said in a turn, without its pictures."""
    content: str | Sequence[Any] = turn.content
    return content if isinstance(content, str) else " ".join(part for part in content if isinstance(part, str))


def cut(text: str, room: int) -> str:
    """The beginning of a text that has at most so many tokens."""
    if tokens_in(text) <= room:
        return text
    return next(iter(pieces(text, room)), "")
