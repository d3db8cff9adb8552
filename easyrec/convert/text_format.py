r"""The text format of protocol buffers, without their schemas: names and values, nothing typed.

    message := { field [","] [";"] }
    field   := name [":"] ( "{" message "}" | "<" message ">" ) | name ":" scalar | name [":"] "[" value {"," value} "]"
    name    := identifier | "[" dotted.name "]"
    scalar  := text {text} | ["-"] number | ["-"] identifier

`#` starts a comment. Texts have C's escapes, `\u1234` and `\U00012345`; octal and hexadecimal ones are bytes of UTF-8.

Source:
    protobuf.dev, "Text Format Language Specification".
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import NamedTuple

from easyrec.convert.message import Field, Message, Scalar, Value
from easyrec.errors import ConfigError, Problem

DEEPEST = 64
"""Levels of messages; no config needs as many."""

_TOKEN = re.compile(
    r"""(?P<blank>(?:[ \t\r\n\f\v]|\#[^\n]*)+)
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<number>0[xX][0-9a-fA-F]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fF]?)
      | (?P<text>"(?:[^"\\\n]|\\[^\n])*"|'(?:[^'\\\n]|\\[^\n])*')
      | (?P<sign>[{}<>\[\]:,;\-./])""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_LETTERS = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, "'": 39, '"': 34, "?": 63}
_CLOSING = {"{": "}", "<": ">"}


def _left_out(text: str) -> str:
    """A hint where a document stands for what it leaves out."""
    if text.startswith(("...", "\u2026")):
        return "\n'...' stands for what a document leaves out: write it, or take the line away"
    return "\n'${..}' stands for a name of yours: write it" if text.startswith(("${", "$")) else ""


class _Token(NamedTuple):
    kind: str
    text: str
    start: int


def parse(text: str, file: str = "") -> Message:
    """The message that a text states, with the places of its values.

    Raises:
        ConfigError: The text is not in the format; says at which line and column, and what was expected.
    """
    parser = _Parser(text, file)
    message = parser.message("", 0)
    return message.place(file)


class _Parser:
    def __init__(self, text: str, file: str) -> None:
        self.text, self.file = text, file
        self.starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self.tokens = self._tokens()
        self.at = 0

    def _tokens(self) -> list[_Token]:
        found, end = [], 0
        while end < len(self.text):
            match = _TOKEN.match(self.text, end)
            if match is None:
                start, line_end = end, self.text.find("\n", end)
                rest = self.text[start : line_end if line_end >= 0 else None]
                what = (
                    "the text has no closing quote"
                    if rest[0] in "\"'"
                    else f"the character {rest[0]!r} has no meaning here{_left_out(rest)}"
                )
                raise self.error(what, start)
            if match.lastgroup != "blank":
                found.append(_Token(str(match.lastgroup), match.group(), end))
            end = match.end()
        return [*found, _Token("end", "", len(self.text))]

    # -------------------------------------------------------------------------------------------- places

    def line(self, position: int) -> int:
        return bisect_right(self.starts, position)

    def error(self, text: str, position: int) -> ConfigError:
        column = position - (self.text.rfind("\n", 0, position) + 1) + 1
        where = f"column {column}"
        return ConfigError([Problem(text, where, self.line(position), self.file)], self.file)

    def expected(self, what: str) -> ConfigError:
        token = self.peek
        found = "the end of the file" if token.kind == "end" else f"'{token.text}'"
        hint = _left_out(self.text[token.start : token.start + 3])
        return self.error(f"expected {what}, but found {found}{hint}", token.start)

    # ------------------------------------------------------------------------------------------- grammar

    @property
    def peek(self) -> _Token:
        return self.tokens[self.at]

    def take(self, *texts: str) -> str:
        """Step over one of these signs; "" where none is next."""
        token = self.peek
        if token.kind == "sign" and token.text in texts:
            self.at += 1
            return token.text
        return ""

    def message(self, closing: str, depth: int) -> Message:
        if depth > DEEPEST:
            raise self.error(f"messages are nested more than {DEEPEST} levels deep", self.peek.start)
        message = Message(self.line(self.peek.start))
        while not (self.take(closing) if closing else self.peek.kind == "end"):
            message.fields += self.field(depth, closing)
            self.take(",") or self.take(";")
        return message

    def field(self, depth: int, closing: str) -> list[Field]:
        line = self.line(self.peek.start)
        name = self.name(closing)
        colon = self.take(":")
        opening = self.take("{", "<")
        if opening:
            return [Field(name, self.message(_CLOSING[opening], depth + 1), line)]
        if self.take("["):
            return self.list(name, line, depth)
        if not colon:
            raise self.expected(f"':' or '{{' after '{name}'")
        return [Field(name, self.scalar(), line)]

    def name(self, closing: str) -> str:
        token = self.peek
        if token.kind == "name":
            self.at += 1
            return token.text
        if not self.take("["):
            raise self.expected("a field's name" + (f" or '{closing}'" if closing else ""))
        parts = []
        while not self.take("]"):
            if self.peek.kind not in ("name", "number") and self.peek.text not in (".", "/", "-"):
                raise self.expected("']'")
            parts.append(self.peek.text)
            self.at += 1
        return f"[{''.join(parts)}]"

    def list(self, name: str, line: int, depth: int) -> list[Field]:
        found: list[Field] = []
        if self.take("]"):
            return found
        while True:
            opening = self.take("{", "<")
            value: Value = self.message(_CLOSING[opening], depth + 1) if opening else self.scalar()
            found.append(Field(name, value, line, listed=True))
            if self.take("]"):
                return found
            if not self.take(","):
                raise self.expected("',' or ']'")

    def scalar(self) -> Scalar:
        token = self.peek
        line = self.line(token.start)
        if token.kind == "text":
            parts = []
            while self.peek.kind == "text":
                parts.append(self.unquoted(self.peek))
                self.at += 1
            try:
                return Scalar("text", b"".join(parts).decode("utf-8"), line)
            except UnicodeDecodeError:
                raise self.error("the text is not UTF-8", token.start) from None
        sign = self.take("-")
        token = self.peek
        if token.kind not in ("number", "name") or (
            sign and token.text.lower() not in _NUMERIC and token.kind == "name"
        ):
            raise self.expected("a value")
        self.at += 1
        return Scalar(
            "number" if token.kind == "number" or token.text.lower() in _NUMERIC else "word", sign + token.text, line
        )

    def unquoted(self, token: _Token) -> bytes:
        """The bytes that a quoted text stands for."""

        def escaped(match: re.Match[str]) -> bytes:
            octal, two, four, eight, letter = match.groups()
            if octal or two:
                number = int(octal, 8) if octal else int(two, 16)
                if number > 255:
                    raise self.error(f"{match.group()} is no byte", token.start + 1 + match.start())
                return bytes([number])
            if four or eight:
                number = int(four or eight, 16)
                if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
                    raise self.error(f"{match.group()} is no character", token.start + 1 + match.start())
                return chr(number).encode()
            if letter not in _LETTERS:
                raise self.error(f"unknown escape \\{letter}", token.start + 1 + match.start())
            return bytes([_LETTERS[letter]])

        body, result, end = token.text[1:-1], b"", 0
        for match in _ESCAPE.finditer(body):
            result += body[end : match.start()].encode() + escaped(match)
            end = match.end()
        return result + body[end:].encode()


_NUMERIC = ("inf", "infinity", "nan")
