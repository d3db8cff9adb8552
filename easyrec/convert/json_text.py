"""JSON as messages, with the lines of its values: an array is a repeated field, null an absent one."""

from __future__ import annotations

import re
from bisect import bisect_right
from json import JSONDecodeError, JSONDecoder

from easyrec.convert.message import Field, Message, Scalar, Value
from easyrec.errors import ConfigError, Problem

DEEPEST = 64
"""Levels of objects and arrays."""

_DECODER = JSONDecoder()
_BLANK = re.compile(r"[ \t\r\n]*")
_PLAIN = re.compile(r"(?P<word>true|false|null)|(?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)")


def parse(text: str, file: str = "") -> Message:
    """The object that a text states.

    Raises:
        ConfigError: The text is not JSON, or no object; says at which line and column.
    """
    parser = _Parser(text, file)
    if parser.next() != "{":
        raise parser.error("must be an object in braces")
    message = parser.object(0)
    if parser.next():
        raise parser.error("expected the end of the file")
    return message.place(file)


class _Parser:
    def __init__(self, text: str, file: str) -> None:
        self.text, self.file, self.at = text, file, 0
        self.starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def error(self, text: str) -> ConfigError:
        column = self.at - (self.text.rfind("\n", 0, self.at) + 1) + 1
        return ConfigError([Problem(text, f"column {column}", self.line(), self.file)], self.file)

    def line(self) -> int:
        return bisect_right(self.starts, self.at)

    def next(self) -> str:
        """The next character that is no blank; "" at the end."""
        match = _BLANK.match(self.text, self.at)
        assert match is not None
        self.at = match.end()
        return self.text[self.at : self.at + 1]

    def left_out(self) -> str:
        """A hint where a document stands for what it leaves out."""
        left_out = self.text.startswith(("...", "\u2026"), self.at)
        return "\n'...' stands for what a document leaves out: write it, or take it away" if left_out else ""

    def string(self) -> str:
        if self.next() != '"':
            raise self.error("expected a text in quotes" + self.left_out())
        try:
            value, self.at = _DECODER.raw_decode(self.text, self.at)
        except JSONDecodeError as error:
            self.at = error.pos
            raise self.error(error.msg[:1].lower() + error.msg[1:]) from None
        return str(value)

    def object(self, depth: int) -> Message:
        if depth > DEEPEST:
            raise self.error(f"is nested more than {DEEPEST} levels deep")
        message = Message(self.line())
        self.at += 1
        more = not self.ends("}")
        while more:
            self.next()
            line, name = self.line(), self.string()
            if self.next() != ":":
                raise self.error("expected ':'")
            self.at += 1
            message.fields += self.field(name, line, depth)
            more = self.another("}")
        return message

    def ends(self, closing: str) -> bool:
        """Step over a closing sign if it is next."""
        found = self.next() == closing
        self.at += found
        return found

    def another(self, closing: str) -> bool:
        """Step over the sign behind an element; whether another element follows."""
        if self.ends(closing):
            return False
        if self.next() != ",":
            raise self.error(f"expected ',' or '{closing}'" + self.left_out())
        self.at += 1
        if self.next() == closing:
            raise self.error("nothing follows the ','")
        return True

    def field(self, name: str, line: int, depth: int) -> list[Field]:
        if self.next() != "[":
            value = self.value(depth)
            return [] if value is None else [Field(name, value, line)]
        found: list[Field] = []
        self.at += 1
        more = not self.ends("]")
        while more:
            if self.next() == "[":
                raise self.error("an array inside an array has no meaning here")
            value = self.value(depth)
            found += [] if value is None else [Field(name, value, line, listed=True)]
            more = self.another("]")
        return found

    def value(self, depth: int) -> Value | None:
        first = self.next()
        line = self.line()
        if first == "{":
            return self.object(depth + 1)
        if first == '"':
            return Scalar("text", self.string(), line)
        match = _PLAIN.match(self.text, self.at)
        if match is None:
            raise self.error("expected a value" + self.left_out())
        self.at = match.end()
        if match.group() == "null":
            return None
        return Scalar("word" if match.lastgroup == "word" else "number", match.group(), line)
