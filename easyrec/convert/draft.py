"""The experiment that is being written, and its YAML."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from easyrec.convert.report import Report, Target

WIDTH = 116
SECTIONS = ("name", "hash", "data", "features", "model", "train", "eval")

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_TAKEN = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


@dataclass
class Draft:
    """An experiment as plain data, section by section."""

    name: str = ""
    hash: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    features: list[dict[str, Any]] = field(default_factory=list)
    model: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    eval: dict[str, Any] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """The sections that say something."""
        return {key: getattr(self, key) for key in SECTIONS if getattr(self, key)}

    def to_yaml(self, report: Report, head: Sequence[str] = ()) -> str:
        """The experiment as YAML, with a comment above everything that the report is about."""
        comments: dict[Target, list[str]] = {}
        for entry in report.entries:
            if entry.target is not None:
                name = entry.path.rpartition(".")[2]
                text = f"{entry.kind}: {f'{name}: ' if name else ''}{entry.why}"
                comments.setdefault(entry.target, []).append(text + (f"; {entry.todo}" if entry.todo else ""))
        lines = [f"# {text}".rstrip() for text in head]
        for key, value in self.plain().items():
            lines += ["", *_block(key, value, 0, (key,), comments)] if isinstance(value, dict | list) else []
            lines += (
                [] if isinstance(value, dict | list) else [*_comments(comments, (key,), 0), f"{key}: {scalar(value)}"]
            )
        return "\n".join(lines).lstrip("\n") + "\n"


def _block(key: str, value: Any, indent: int, path: Target, comments: Mapping[Target, list[str]]) -> Iterator[str]:
    """A key and its value, on one line where it fits and nothing inside is commented on."""
    pad = " " * indent
    yield from _comments(comments, path, indent)
    inside = any(target[: len(path)] == path and target != path for target in comments)
    flow = f"{pad}{key}: {_flow(value)}"
    if not isinstance(value, dict | list) or not value or (indent and not inside and len(flow) <= WIDTH):
        yield from _wrapped(f"{pad}{key}: ", value, indent)
    elif isinstance(value, dict):
        yield f"{pad}{key}:"
        for name, child in value.items():
            yield from _block(_key(name), child, indent + 2, (*path, name), comments)
    elif all(isinstance(child, dict) for child in value):
        yield f"{pad}{key}:"
        for index, child in enumerate(value):
            yield from _item(child, indent + 2, (*path, index), comments)
    else:
        yield from _wrapped(f"{pad}{key}: ", value, indent)


def _item(value: dict[str, Any], indent: int, path: Target, comments: Mapping[Target, list[str]]) -> Iterator[str]:
    """An element of a list of mappings: a line, or a block where it holds such a list itself."""
    pad = " " * indent
    yield from _comments(comments, path, indent)
    if not any(isinstance(v, list) and v and all(isinstance(c, dict) for c in v) for v in value.values()):
        yield from _wrapped(f"{pad}- ", value, indent)
        return
    for number, (name, child) in enumerate(value.items()):
        lines = list(_block(_key(name), child, indent + 2, (*path, name), comments))
        if number == 0:
            lines[0] = f"{pad}- {lines[0].lstrip()}"
        yield from lines


def _comments(comments: Mapping[Target, list[str]], path: Target, indent: int) -> Iterator[str]:
    for text in comments.get(path, ()):
        words = text.split()
        line = ""
        for word in words:
            if line and len(line) + len(word) + indent > WIDTH - 3:
                yield f"{' ' * indent}# {line}"
                line = ""
            line = f"{line} {word}".strip()
        yield f"{' ' * indent}# {line}"


def _wrapped(head: str, value: Any, indent: int) -> Iterator[str]:
    """A value in flow style, broken between its elements."""
    line = head
    for atom in _atoms(value):
        if len(line) + len(atom.rstrip()) > WIDTH and line.strip() and line != head:
            yield line.rstrip()
            line = " " * (indent + 4)
        line += atom
    yield line.rstrip()


def _flow(value: Any) -> str:
    return "".join(_atoms(value)).rstrip()


def _atoms(value: Any, tail: str = "") -> Iterator[str]:
    """The pieces of a value in flow style between which a line may break."""
    if not isinstance(value, dict | list) or not value:
        yield f"{scalar(value)}{tail}"
        return
    opening, closing = ("{", "}") if isinstance(value, dict) else ("[", "]")
    pairs = list(value.items()) if isinstance(value, dict) else [("", child) for child in value]
    for index, (key, child) in enumerate(pairs):
        head = (opening if index == 0 else "") + (f"{_key(key)}: " if isinstance(value, dict) else "")
        end = closing + tail if index == len(pairs) - 1 else ", "
        pieces = list(_atoms(child, end))
        yield head + pieces[0]
        yield from pieces[1:]


def _key(text: str) -> str:
    return scalar(str(text))


def scalar(value: Any) -> str:
    """A plain value as YAML 1.2 writes it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return "{}" if isinstance(value, dict) else "[]"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _float(value)
    if _PLAIN.fullmatch(value) and value.lower() not in _TAKEN:
        return str(value)
    return '"' + "".join(map(_character, value)) + '"'


def _float(value: float) -> str:
    """A float as a number of YAML 1.2: `1e-05` has no point and is one, `1e16` needs none either."""
    if not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    if value.is_integer() and abs(value) < 1e15:
        return f"{value:.1f}"
    return repr(value)


def _character(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if char.isprintable():
        return char
    known = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}
    code = ord(char)
    return known.get(char) or (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
    )
