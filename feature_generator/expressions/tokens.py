"""Text into tokens, and the error that points into the text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

MAX_LENGTH = 4096
"""Characters that an expression may have."""

Kind: TypeAlias = Literal["number", "name", "quoted", "sign", "end"]

_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[^\W\d]\w*(?:\.[^\W\d]\w*)*)"
    r"|`(?P<quoted>[^`]+)`"
    r"|(?P<sign>\|\||&&|<=|>=|==|!=|\*\*|[-+*/^|&<>!?:(),=%])"
)
_WINDOW = 72
_HINTS = {
    "`": "the name in backquotes has no end",
    '"': "there are no texts in expressions",
    "'": "there are no texts in expressions",
    "[": "there are no list literals; a column with several values is a vector",
    "{": "there are no braces",
    ";": "an expression is one formula",
    "（": "write (",
    "）": "write )",
    "，": "write ,",
    "：": "write :",
    "？": "write ?",
}


class ExpressionError(ValueError):
    """An expression that cannot be read.

    Attributes:
        reason: What is wrong, without the text.
        position: 0-based character of the text that the error is about.
    """

    def __init__(self, reason: str, text: str, position: int) -> None:
        self.reason, self.position = reason, position
        if not text.strip():
            super().__init__(reason)
            return
        start = max(0, min(position - _WINDOW // 2, len(text) - _WINDOW))
        shown = re.sub(r"\s", " ", text[start : start + _WINDOW])
        caret = " " * (position - start) + "^"
        super().__init__(f"{reason}\n  {shown}\n  {caret} column {position + 1}")


@dataclass(frozen=True)
class Token:
    """A piece of the text; `quoted` is a name that stood in backquotes."""

    kind: Kind
    text: str
    position: int


def tokens(text: str) -> Iterator[Token]:
    """The tokens of `text`, the last one of kind `end`.

    Raises:
        ExpressionError: The text is too long, or a character belongs to no token.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"has {len(text)} characters; at most {MAX_LENGTH} are allowed", text, MAX_LENGTH)
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            hint = _HINTS.get(text[at], "")
            raise ExpressionError(f"unexpected {text[at]!r}{hint and ': ' + hint}", text, at)
        kind = match.lastgroup
        if kind in {"number", "name", "quoted", "sign"}:
            yield Token(kind, match[kind], at)  # type: ignore[arg-type]
        at = match.end()
    yield Token("end", "", len(text))
