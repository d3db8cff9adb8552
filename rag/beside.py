"""`Beside`: what a knowledge base does with links and summaries, and with what people make of its chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from easyrec.errors import DataError
from rag.chunkers import Chunk
from rag.cutting import cleaned
from rag.embedding import Embedding
from rag.links import kind_of
from rag.records import Part, Records
from rag.report import Report

NEAR = 200
"""Chunks on each side of one in whose place the same may be read."""


class Beside:
    """A part of `KnowledgeBase`.

    Attributes:
        folder: Where it lies.
        records: What it knows.
    """

    folder: Path
    records: Records
    _embedding: Embedding
    _now: Callable[[], float]

    def refresh(self) -> None:
        """Tell the indexes what has changed."""
        raise TypeError(f"{type(self).__name__} must define refresh")

    # ------------------------------------------------------------------------------------------------ links

    def link(self, part: int, kind: str, texts: Sequence[str]) -> None:
        """Put texts beside a chunk, as `link_all` does."""
        self.link_all(kind, {part: texts})

    def link_all(self, kind: str, texts: Mapping[int, Sequence[str]]) -> None:
        """Put texts beside chunks: who finds one of them finds the chunk. They last as long as the chunk says the same.

        Args:
            kind: As `question`, `summary` or `entity`; those of the same kind that a chunk had are replaced.
            texts: By the numbers of the chunks; none for one of which nothing is to be said.

        Raises:
            ConfigError: The kind cannot be called so.
            DataError: There is no such chunk.
            EasyRecError: They cannot be embedded or written.
        """
        kind_of(kind)
        told = {part: list(dict.fromkeys(cleaned(t).strip() for t in own if t.strip())) for part, own in texts.items()}
        parts = self._parts_for(told)
        chunks = [Chunk(text, kind=parts[part].chunk.kind) for part, own in told.items() for text in own]
        new = iter(self._embedding.new(chunks, Report()))
        with self.records.writing():
            still = self.records.parts(told)
            for part, own in told.items():
                made = [next(new) for _ in own]
                if part in still and still[part].chunk == parts[part].chunk:  # else it was changed meanwhile
                    self.records.links.link(part, parts[part].document, kind, made)
        self.refresh()

    def links(self, part: int) -> list[Part]:
        """What stands beside a chunk."""
        return self.records.links_of(part)

    def unlinked(self, kind: str, after: int = 0, most: int = 500, *, every: bool = False) -> list[Part]:
        """The next chunks, behind a number, that were not given links of a kind yet, none at all included; or every one."""
        return self.records.unlinked(kind_of(kind), after, most, every)

    def renew(self, kind: str) -> None:
        """Let `unlinked` give all chunks again. What stands beside one stays until something of that kind takes its place."""
        with self.records.writing():
            self.records.links.renew(kind_of(kind))

    def unlink(self, kind: str) -> None:
        """Take all links of a kind away."""
        with self.records.writing():
            self.records.links.unlink(kind_of(kind))
        self.refresh()

    # -------------------------------------------------------------------------------------------- summaries

    def add_tree(self, level: int, text: str, children: Sequence[int]) -> int:
        """Add a summary of several chunks, as `add_trees` does."""
        return self.add_trees([(level, text, children)])[0]

    def add_trees(self, trees: Sequence[tuple[int, str, Sequence[int]]]) -> list[int]:
        """Add summaries of chunks, or of other summaries.

        One is found for itself, by who may see all that it is of, and lasts until one of these changes.

        Args:
            trees: Of each the level, from 1 on, its words, and the numbers of what it is of.

        Returns:
            Their numbers.

        Raises:
            DataError: There is no such chunk, or a summary is of one of its own level or of a higher one.
            EasyRecError: They cannot be embedded or written.
        """
        parts = self._parts_for({child for _, _, children in trees for child in children})
        for level, _, children in trees:
            own = [parts[child].number if parts[child].link else 0 for child in children]
            if not own or level <= max(own):
                raise DataError(f"{self.folder}: a summary of level {level} must be of something below that level")
        chunks = [
            Chunk(cleaned(text), _shared_path([parts[child].chunk.path for child in children]), kind="summary")
            for _, text, children in trees
        ]
        new = self._embedding.new(chunks, Report())
        with self.records.writing():
            still = self._parts_for({child for _, _, children in trees for child in children})
            changed = next((number for number in still if still[number].chunk != parts[number].chunk), None)
            if changed is not None:
                raise DataError(f"{self.folder}: chunk {changed} was changed meanwhile")
            made = [
                self.records.links.add_tree(level, each, children)
                for (level, _, children), each in zip(trees, new, strict=True)
            ]
        self.refresh()
        return made

    def trees(self) -> list[Part]:
        """All summaries of several chunks, the lowest first; their `children` say what they are of."""
        return self.records.trees()

    def drop_trees(self, level: int = 1) -> None:
        """Take the summaries of a level, and of those above it, away."""
        with self.records.writing():
            self.records.links.drop_trees(level)
        self.refresh()

    # ------------------------------------------------------------------------------------------------ edits

    def edit(self, part: int, text: str) -> None:
        """Let a chunk, a link or a summary say something else.

        It stays so when its document is added again, as long as the file still has the chunk that it stands for; else the
        `Report` tells what is lost.

        Raises:
            DataError: There is no such chunk, or the text is empty.
            EasyRecError: It cannot be embedded or written.
        """
        self._edit(part, [text], beside=True)

    def split(self, part: int, texts: Sequence[str]) -> list[int]:
        """Let a chunk be several, and give their numbers; the first has that of the chunk.

        Raises:
            DataError: There is no such chunk of a document, or a text is empty.
            EasyRecError: They cannot be embedded or written.
        """
        return self._edit(part, texts, beside=False)

    def merge(self, parts: Sequence[int]) -> int:
        """Let chunks of a document that follow each other be one, and give its number, which is that of the first.

        Raises:
            DataError: They are no chunks of a document, or do not follow each other.
            EasyRecError: It cannot be embedded or written.
        """
        found = sorted(self._own(parts), key=lambda part: part.number)
        first = found[0]
        follow = [part.number for part in found] == list(range(first.number, first.number + len(found)))
        if len(found) < 2 or len({part.document for part in found}) > 1 or not follow:
            raise DataError(f"{self.folder}: only chunks of a document that follow each other can be one")
        chunks = [part.chunk for part in found]
        places = tuple(dict.fromkeys(place for chunk in chunks for place in chunk.places))
        whole = replace(
            chunks[0],
            text="\n\n".join(chunk.text for chunk in chunks),
            path=_shared_path([chunk.path for chunk in chunks]),
            places=places,
            kind=chunks[0].kind if len({chunk.kind for chunk in chunks}) == 1 else "text",
            context=None,
            figure=next((chunk.figure for chunk in chunks if chunk.figure), None),
        )
        (new,) = self._embedding.new([whole], Report())
        with self.records.writing():
            self._unchanged(found)
            made = self.records.writer.merge(found, new, self._now())
        self.refresh()
        return made

    def drop(self, part: int) -> None:
        """Take one chunk, link or summary away. A chunk stays away when its document is added again.

        Raises:
            DataError: There is no such chunk.
            EasyRecError: It cannot be written.
        """
        (found,) = self._parts_for([part], links=True).values()
        with self.records.writing():
            if found.link is None:
                self._read_otherwise(found, "")
                self.records.writer.edit(found, [], self._now())
            else:
                self.records.links.drop(part)
        self.refresh()

    def _edit(self, part: int, texts: Sequence[str], *, beside: bool) -> list[int]:
        (found,) = self._parts_for([part], links=True).values() if beside else self._own([part])
        if not texts or not all(text.strip() for text in texts):
            raise DataError(f"{self.folder}: an empty text is no chunk")
        texts = [cleaned(text) for text in texts]
        whole = found.chunk.with_text("\n\n".join(texts))
        new = self._embedding.new([replace(whole, text=text) for text in texts], Report())
        with self.records.writing():
            self._unchanged([found])
            self._read_otherwise(found, "\n\n".join(texts))
            made = self.records.writer.edit(found, new, self._now())
        self.refresh()
        return made

    def _read_otherwise(self, part: Part, text: str) -> None:
        """Let what is read in the place of its neighbours say so too, where a chunk was a part of that."""
        if part.link is not None or part.chunk.context is None:
            return
        for other in self.records.parts_of(part.document):
            chunk = other.chunk.with_read(part.chunk.text, text)
            if other.id != part.id and abs(other.number - part.number) <= NEAR and chunk != other.chunk:
                self.records.writer.read_otherwise(other, chunk)

    def _own(self, numbers: Sequence[int]) -> list[Part]:
        """Chunks of documents."""
        found = list(self._parts_for(numbers, links=True).values())
        other = next((part for part in found if part.link is not None), None)
        if other is not None:
            raise DataError(f"{self.folder}: {other.id} stands beside chunks, and is none of a document")
        return found

    def _unchanged(self, parts: Sequence[Part]) -> None:
        """See that nobody changed chunks while their texts were embedded.

        Raises:
            DataError: Somebody did.
        """
        now = self.records.parts([part.id for part in parts])
        for part in parts:
            there = now.get(part.id)
            if there is None or there.chunk != part.chunk or there.number != part.number:
                raise DataError(f"{self.folder}: chunk {part.id} was changed meanwhile")

    def _parts_for(self, numbers: Iterable[int], *, links: bool = False) -> dict[int, Part]:
        wanted = list(numbers)
        found = {part.id: part for part in self.records.parts(wanted).values() if links or part.parent is None}
        missing = [number for number in wanted if number not in found]
        if missing:
            raise DataError(f"{self.folder}: there is no chunk {missing[0]}")
        return found


def _shared_path(paths: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The headings that all have above them."""
    first, last = min(paths), max(paths)
    length = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[:length]
