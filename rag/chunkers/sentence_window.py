"""`sentence_window`: what is found is a sentence, what is read is that with the sentences around it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import Field

from rag.chunkers import Chunk, ChunkerConfig, sentences_of
from rag.chunkers._parts import Run, runs, spans_of
from rag.document import Block


class Config(ChunkerConfig):
    """Config of `sentence_window`."""

    type: Literal["sentence_window"] = "sentence_window"
    window: int = Field(3, ge=0, le=50)
    """Sentences on each side of it, of the same section."""

    def chunks(self, blocks: Iterable[Block]) -> Iterator[Chunk]:
        """The sentences of a document. Tables, code and figures are cut as `structure` does."""
        for part in runs(blocks, self.size):
            if not isinstance(part, Run):
                yield part
                continue
            spans = spans_of(sentences_of(part.text), self.size)
            for number, (start, end, _) in enumerate(spans):
                first, last = max(0, number - self.window), min(len(spans) - 1, number + self.window)
                around = part.text[spans[first][0] : spans[last][1]].strip()
                own = part.text[start:end].strip()
                yield part.chunk(start, end, around if around != own else None)
