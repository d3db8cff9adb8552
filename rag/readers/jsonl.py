"""`jsonl`: an object a line, each a small table of its keys and values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

from easyrec.errors import DataError
from rag.document import Block, Heading, Paragraph, Place
from rag.readers import ReaderConfig


class Config(ReaderConfig):
    """Config of `jsonl`."""

    endings: ClassVar[tuple[str, ...]] = (".jsonl", ".ndjson")

    type: Literal["jsonl"] = "jsonl"
    text: list[str] = []
    """Keys whose values are read; default: all."""
    title: str | None = None
    """The key whose value is the heading of an object."""

    def read(self, path: Path) -> Iterator[Block]:
        """Its objects."""
        for number, line in enumerate(self.text_of(path).split("\n"), 1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}, line {number}: is no JSON: {error}") from None
            if not isinstance(value, dict):
                raise DataError(f"{path}, line {number}: is no object")
            place = Place(line=number)
            if self.title is not None:
                yield Heading(_words(value.get(self.title)) or f"{number}", 1, place)
            keys = self.text or [key for key in value if key != self.title]
            told = [(key, _words(value.get(key))) for key in keys]
            text = "\n".join(f"{key}: {words}" if len(keys) > 1 else words for key, words in told if words)
            if text:
                yield Paragraph(text, place)


def _words(value: Any) -> str:
    """A value as it is read."""
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(entry, str | int | float) for entry in value):
        return ", ".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
