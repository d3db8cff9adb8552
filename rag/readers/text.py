"""`text`: paragraphs with empty lines between them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from rag.document import Block, Paragraph, Place
from rag.readers import ReaderConfig


class Config(ReaderConfig):
    """Config of `text`."""

    endings: ClassVar[tuple[str, ...]] = (".txt", ".text", ".log")

    type: Literal["text"] = "text"

    def read(self, path: Path) -> Iterator[Block]:
        """Its paragraphs."""
        lines: list[str] = []
        begun = 0
        for number, line in enumerate(self.text_of(path).split("\n"), 1):
            if line.strip():
                begun = begun if lines else number
                lines.append(line.strip())
            elif lines:
                yield Paragraph(" ".join(lines), Place(line=begun))
                lines = []
        if lines:
            yield Paragraph(" ".join(lines), Place(line=begun))
