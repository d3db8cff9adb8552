"""`sentences`: whole sentences of a section, as many as fit; the last ones of a part may begin the next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from rag.chunkers import Chunk, OverlappingConfig, sentences_of
from rag.chunkers._parts import Run, runs, spans_of
from rag.document import Block


class Config(OverlappingConfig):
    """Config of `sentences`."""

    type: Literal["sentences"] = "sentences"

    def chunks(self, blocks: Iterable[Block]) -> Iterator[Chunk]:
        """The parts of a document. Tables, code and figures are cut as `structure` does."""
        for part in runs(blocks, self.size):
            if isinstance(part, Run):
                yield from self._packed(part)
            else:
                yield part

    def _packed(self, run: Run) -> Iterator[Chunk]:
        spans = spans_of(sentences_of(run.text), self.size)
        first = 0
        while first < len(spans):
            end, room = first, self.size
            while end < len(spans) and spans[end][2] <= room:
                room -= spans[end][2]
                end += 1
            yield run.chunk(spans[first][0], spans[end - 1][1])
            if end == len(spans):
                return
            again, room = end, min(self.overlap, self.size - spans[end][2])
            while again - 1 > first and spans[again - 1][2] <= room:
                again -= 1
                room -= spans[again][2]
            first = again
