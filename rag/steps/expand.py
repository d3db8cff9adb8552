"""`expand`: a chunk is read with those beside it in its document."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pydantic import Field

from rag.chunkers import tokens_in
from rag.knowledge import Hit
from rag.pipeline.ports import Found, Hits
from rag.pipeline.trace import Note
from rag.records import Part
from rag.steps import Kind, Step, StepConfig


class Config(StepConfig):
    """Config of `expand`."""

    type: Literal["expand"] = "expand"
    before: int = Field(1, ge=0, le=64)
    """Chunks before it."""
    after: int = Field(1, ge=0, le=64)
    """Chunks behind it."""
    section: bool = True
    """Whether only those below the same headings."""
    tokens: int = Field(768, ge=16)
    """Of a chunk with those beside it, about; the nearest ones come first."""

    @classmethod
    def step_of(cls) -> Kind:
        """The class."""
        return Expand


class Expand(Step[Config]):
    """Widens hits. A hit that stands in the window of a better one is read there, and not again; its place is cited with it."""

    def run(self, note: Note, hits: Hits) -> Found:
        """The hits, read with what is beside them."""
        taken: set[int] = set()
        found: list[Hit] = []
        own = {hit.part.id for hit in hits}
        for hit in hits:
            if hit.part.id in taken:
                note.add("merged")
                continue
            window = self._window(hit.part, taken)
            taken |= {part.id for part in window}
            found.append(hit if len(window) == 1 else replace(hit, part=_joined(hit.part, window)))
            note.add("read", sum(part.id not in own for part in window))
        return Found(tuple(found))

    def _window(self, part: Part, taken: set[int]) -> list[Part]:
        """The chunk with those beside it that there is room for."""
        if part.link is not None or part.chunk.context is not None:
            return [part]  # what sums up others stands beside nothing, and what is read wider already is wide enough
        low, high = part.number - self.config.before, part.number + self.config.after
        beside = {other.number: other for other in self.tools.base.records.beside(part.document, low, high)}
        room = self.config.tokens - tokens_in(part.chunk.text)
        window = {part.number: part}
        open_ends = {-1: part.number, 1: part.number}
        while open_ends:
            for way in list(open_ends):
                other = beside.get(open_ends[way] + way)
                count = 0 if other is None else tokens_in(other.chunk.text)
                if (
                    other is None
                    or other.id in taken
                    or count > room
                    or (self.config.section and other.chunk.path != part.chunk.path)
                ):
                    del open_ends[way]
                    continue
                open_ends[way] += way
                window[other.number] = other
                room -= count
        return [window[number] for number in sorted(window)]


def _joined(part: Part, window: list[Part]) -> Part:
    """A chunk that is read as all of its window, and stands where that stands."""
    text = "\n".join(other.chunk.text for other in window)
    places = tuple(dict.fromkeys(place for other in window for place in other.chunk.places))
    return replace(part, chunk=replace(part.chunk, context=text, places=places))
