"""`parent_child`: what is found is a small part, what is read is the section, or the larger part of it, that it is of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from rag.chunkers import Chunk, ChunkerConfig, packed, pieces, sentences_of
from rag.chunkers._parts import Run, packed_spans, parts_of, runs, spans_of, tables_of, told
from rag.document import Block, Body, Table


class Config(ChunkerConfig):
    """Config of `parent_child`."""

    type: Literal["parent_child"] = "parent_child"
    size: int = Field(96, ge=16, le=8192)
    """Tokens at most, about, of what is found."""
    parent: int = Field(768, ge=16, le=65_536)
    """Tokens at most, about, of what is read."""

    @model_validator(mode="after")
    def _parents_are_larger(self) -> Self:
        if self.parent < self.size:
            raise ValueError(f"'parent' is {self.parent}, but must be at least 'size' ({self.size})")
        return self

    def chunks(self, blocks: Iterable[Block]) -> Iterator[Chunk]:
        """The small parts of a document; a section that fits is read whole."""
        for part in runs(blocks, self.parent, self._other):
            if isinstance(part, Run):
                yield from self._text(part)
            else:
                yield part

    def _text(self, run: Run) -> Iterator[Chunk]:
        """The parts of a running text."""
        spans = spans_of(sentences_of(run.text), self.size)
        for large in packed_spans(spans, self.parent):
            whole = run.text[large[0][0] : large[-1][1]].strip()
            for small in packed_spans(large, self.size):
                start, end = small[0][0], small[-1][1]
                yield run.chunk(start, end, whole if run.text[start:end].strip() != whole else None)

    def _other(self, block: Body) -> Iterator[tuple[str, str, str | None]]:
        """The parts of a table, of code or of a figure."""
        if isinstance(block, Table):
            larger = tables_of(block, self.parent)
            cut = [("table", told(large), [told(small) for small in tables_of(large, self.size)]) for large in larger]
        else:
            cut = [
                (
                    kind,
                    large,
                    packed(large.split("\n"), self.size, "\n") if kind == "code" else pieces(large, self.size),
                )
                for kind, large in parts_of(block, self.parent)
            ]
        for kind, large, smaller in cut:
            yield from ((kind, small, large if small != large else None) for small in smaller)
