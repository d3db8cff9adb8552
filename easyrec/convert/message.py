"""What was parsed: messages of named values that know their place, and which of them have been read.

A converter reads a message field by field; what it has not read at the end is what it did not carry.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from easyrec.errors import ConfigError, Problem


@dataclass
class Scalar:
    """A plain value.

    Attributes:
        kind: `text` was quoted, a `word` is a bare name (an enum, true, inf), a `number` is what it says.
        text: The value; of a number as it was written, of a text without quotes and escapes.
        line: 1-based line.
    """

    kind: Literal["text", "number", "word"]
    text: str
    line: int


Value: TypeAlias = "Scalar | Message"


@dataclass
class Field:
    """One occurrence of a field.

    Attributes:
        name: Its name.
        value: Its value; a list `[a, b]` is several occurrences.
        line: 1-based line of the name.
        listed: Whether it stood in a list.
        read: Whether a converter has looked at it.
    """

    name: str
    value: Value
    line: int
    listed: bool = False
    read: bool = False


@dataclass
class Message:
    """Fields in their order; names may repeat.

    Attributes:
        line: 1-based line where it starts.
        fields: Its fields.
        path: Where it stands, e.g. `feature_configs[2].id_feature`; "" for the whole file.
        file: Name of the file.
    """

    line: int = 1
    fields: list[Field] = field(default_factory=list)
    path: str = ""
    file: str = ""

    def place(self, file: str, path: str = "") -> Message:
        """Tell this message and all below it their place; names that repeat are counted from 0."""
        self.file, self.path = file, path
        for _, where, value in self._walk():
            if isinstance(value, Message):
                value.place(file, where)
        return self

    def _walk(self) -> Iterator[tuple[Field, str, Value]]:
        counts = Counter(f.name for f in self.fields)
        seen: dict[str, int] = {}
        for item in self.fields:
            index = seen.get(item.name, 0)
            seen[item.name] = index + 1
            counted = counts[item.name] > 1 and isinstance(item.value, Message)
            yield item, self.below(f"{item.name}[{index}]" if counted else item.name), item.value

    def below(self, name: str) -> str:
        """Path of a field."""
        return f"{self.path}.{name}" if self.path else name

    def line_of(self, name: str) -> int:
        """Line of a field's first occurrence, else of the message."""
        return next((f.line for f in self.fields if f.name == name), self.line)

    def unread(self) -> Iterator[tuple[str, int]]:
        """Path and line of every field that nobody has read, outermost first, each path once."""
        told: set[str] = set()
        for item, where, value in self._walk():
            if not item.read:
                if where not in told:
                    yield where, item.line
                told.add(where)
            elif isinstance(value, Message):
                yield from value.unread()

    def settle(self) -> None:
        """Count this message's fields, and all below, as read."""
        for item in self.fields:
            item.read = True
            if isinstance(item.value, Message):
                item.value.settle()

    # ------------------------------------------------------------------------------------------- reading

    def has(self, *names: str) -> bool:
        """Whether any of the fields is there; it does not count as read."""
        return any(f.name in names for f in self.fields)

    def names(self) -> list[str]:
        """Names of the fields, each once."""
        return list(dict.fromkeys(f.name for f in self.fields))

    def values(self, name: str) -> list[Value]:
        """All values of a field, which now counts as read."""
        found = [f for f in self.fields if f.name == name]
        for item in found:
            item.read = True
        return [f.value for f in found]

    def messages(self, name: str) -> list[Message]:
        """All values of a field of messages."""
        for value in (found := self.values(name)):
            if not isinstance(value, Message):
                raise self.wrong(name, "must be a message in braces", value.line)
        return [m for m in found if isinstance(m, Message)]

    def message(self, name: str) -> Message | None:
        """The value of a field that holds one message; of several the last."""
        found = self.messages(name)
        return found[-1] if found else None

    def scalars(self, name: str) -> list[Scalar]:
        """All values of a field of plain values."""
        for value in (found := self.values(name)):
            if isinstance(value, Message):
                raise self.wrong(name, "must be a plain value, not a message", value.line)
        return [s for s in found if isinstance(s, Scalar)]

    def texts(self, name: str) -> list[str]:
        """All texts of a field."""
        return [s.text for s in self.scalars(name)]

    def text(self, name: str, default: str = "") -> str:
        """The last text of a field."""
        found = self.texts(name)
        return found[-1] if found else default

    def numbers(self, name: str) -> list[int | float]:
        """All numbers of a field."""
        return [self._number(name, s) for s in self.scalars(name)]

    def number(self, name: str, default: float = 0.0) -> int | float:
        """The last number of a field."""
        found = self.numbers(name)
        return found[-1] if found else default

    def integers(self, name: str) -> list[int]:
        """All whole numbers of a field."""
        found = []
        for scalar in self.scalars(name):
            number = self._number(name, scalar)
            if not math.isfinite(number) or int(number) != number:
                raise self.wrong(name, f"must be a whole number, but is {scalar.text}", scalar.line)
            found.append(int(number))
        return found

    def integer(self, name: str, default: int = 0) -> int:
        """The last whole number of a field."""
        found = self.integers(name)
        return found[-1] if found else default

    def flag(self, name: str, *, default: bool = False) -> bool:
        """The last truth value of a field."""
        for scalar in self.scalars(name)[-1:]:
            if scalar.text not in _FLAGS:
                raise self.wrong(name, f"must be true or false, but is {scalar.text}", scalar.line)
            return _FLAGS[scalar.text]
        return default

    def entries(self, name: str) -> dict[str, Scalar]:
        """A map: entries `{key: .. value: ..}`, or the fields of a JSON object."""
        found: dict[str, Scalar] = {}
        for entry in self.messages(name):
            if set(entry.names()) <= {"key", "value"} and entry.has("key"):
                pairs = [(entry.text("key"), entry.scalars("value"))]
            else:
                pairs = [(key, entry.scalars(key)) for key in entry.names()]
            for key, values in pairs:
                if not values:
                    raise self.wrong(name, f"the entry '{key}' has no value", entry.line)
                found[key] = values[-1]
        return found

    def plain(self) -> dict[str, Any]:
        """The message as plain data: lists where it had lists or repeats a name."""
        result: dict[str, Any] = {}
        for name in self.names():
            items = [f for f in self.fields if f.name == name]
            values = [plain(value) for value in self.values(name)]
            result[name] = values if len(values) > 1 or any(f.listed for f in items) else values[0]
        return result

    # -------------------------------------------------------------------------------------------- errors

    def wrong(self, name: str, text: str, line: int = 0) -> ConfigError:
        """An error with a field of this message."""
        return ConfigError([Problem(text, self.below(name), line or self.line_of(name), self.file)], self.file)

    def _number(self, name: str, scalar: Scalar) -> int | float:
        number = number_of(scalar.text)
        if number is None:
            raise self.wrong(name, f"must be a number, but is {scalar.text!r}", scalar.line)
        return number


_FLAGS = {"true": True, "True": True, "t": True, "1": True, "false": False, "False": False, "f": False, "0": False}


def number_of(text: str) -> int | float | None:
    """The number that a text writes: decimal, 0x.., octal with a leading 0, or with a trailing f; None if none."""
    body, sign = (text[1:], -1) if text.startswith("-") else (text, 1)
    try:
        if body[:2].lower() == "0x":
            return sign * int(body, 16)
        if body.isdigit():
            return sign * int(body, 8 if len(body) > 1 and body[0] == "0" else 10)
        if "_" in body or body != body.strip():
            return None
        return sign * float(
            body[:-1] if body[-1:] in "fF" and body[-4:].lower() != "inf" and body[:3].lower() != "inf" else body
        )
    except ValueError:
        return None


def plain(value: Value) -> Any:
    """A value as plain data."""
    if isinstance(value, Message):
        return value.plain()
    if value.kind == "number":
        return number_of(value.text)
    return _FLAGS[value.text] if value.kind == "word" and value.text in ("true", "false") else value.text
