"""`tokens`: parts of a section of so many tokens, of which each repeats the end of the one before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import Field

from rag.chunkers import Chunk, OverlappingConfig
from rag.chunkers._parts import Run, runs, tokens_of, word_before
from rag.document import Block


class Config(OverlappingConfig):
    """Config of `tokens`."""

    type: Literal["tokens"] = "tokens"
    overlap: int = Field(32, ge=0)
    """Tokens that a part repeats from the part before it; fewer where a word would be cut."""

    def chunks(self, blocks: Iterable[Block]) -> Iterator[Chunk]:
        """The parts of a document. Tables, code and figures are cut as `structure` does."""
        for part in runs(blocks, self.size):
            if isinstance(part, Run):
                yield from (part.chunk(start, end) for start, end in self._windows(part.text))
            else:
                yield part

    def _windows(self, text: str) -> Iterator[tuple[int, int]]:
        """Where the parts of a text begin and end."""
        tokens = tokens_of(text)
        start = 0
        while start < len(tokens):
            end = word_before(tokens, start, min(start + self.size, len(tokens)))
            yield tokens[start][0], len(text) if end == len(tokens) else tokens[end][0]
            if end == len(tokens):
                return
            again = max(end - self.overlap, start + 1)
            start = next((at for at in range(again, end) if tokens[at][1]), end)
