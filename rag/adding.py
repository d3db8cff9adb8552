"""`Adding`: how files and texts become documents of a knowledge base."""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from easyrec.errors import DataError
from easyrec.llm.embedders import Embedder
from easyrec.retrieval.filters import Fact, facts_of
from rag.chunkers import Chunk
from rag.config import KnowledgeConfig
from rag.cutting import Cut, cleaned
from rag.document import Paragraph
from rag.embedding import Embedding
from rag.finding import names_of
from rag.readers import ReaderConfig, reader_of
from rag.reading import Job, Reading
from rag.records import New, Records, Stored
from rag.report import Report
from rag.sources import Source, digest_of_file, is_gone, lies_in, sources_of
from rag.writer import Whole

TOGETHER = 512
"""New chunks that are embedded, and written, at a time."""
LONGEST = 4096
"""Characters of what a document is called."""
REASON = 2000
"""Characters of why a file failed."""
HEAVY = 64 << 20
"""Bytes of pictures from which on documents are written."""
LEFT_OUT = ("unread_pages", "unread_pictures")
"""What readers count that they left out."""


@dataclass(frozen=True)
class _Read:
    """A document that was read."""

    source: str
    digest: str
    facts: dict[str, list[Fact]]
    path: str
    cut: Cut


@dataclass(frozen=True)
class _Asked:
    """A document that is read."""

    source: Source
    digest: str
    facts: dict[str, list[Fact]]
    reader: ReaderConfig

    def digest_of(self, found: Cut) -> str:
        """Tells the document, and whether something was left out of it that would be read with another extra installed."""
        left_out = any(found.counts.get(what) for what in LEFT_OUT)
        return _lacking(self.digest, self.reader) if left_out else self.digest


class Adding:
    """A part of `KnowledgeBase`.

    Attributes:
        config: What it holds, and how.
        records: What it knows.
        embedder: What makes vectors; None: there are none.
    """

    config: KnowledgeConfig
    records: Records
    embedder: Embedder | None
    _chunker: Any
    _embedding: Embedding
    _now: Callable[[], float]
    _readers: Mapping[str, ReaderConfig]

    def refresh(self) -> None:
        """Tell the indexes what has changed."""
        raise TypeError(f"{type(self).__name__} must define refresh")

    def add(
        self,
        paths: Iterable[str | os.PathLike[str]],
        facts: Mapping[str, Any] | None = None,
        *,
        under: str | os.PathLike[str] | None = None,
        prune: bool = False,
        progress: Callable[[str], object] | None = None,
    ) -> Report:
        """Add files, and what is in folders. A file that was added before is written anew where it has changed.

        Args:
            paths: Files and folders; what they are called tells documents apart.
            facts: What is known of all of them, to filter by; `access` names who may see them, default: everybody. None:
                what was known of them stays. `access` stays too unless it is named.
            under: A folder from which on files are called; default: they are called as `paths` names them.
            prune: Whether documents are taken away whose files were in folders of `paths` and are gone. A folder that is
                empty now loses none, as it may be that of a disk that is not there: that is told as a failure.
            progress: Is told each source that is done.

        Returns:
            What came of it. A file that cannot be read fails alone.

        Raises:
            ConfigError: A fact cannot be.
            EasyRecError: Chunks cannot be embedded or written; documents that were written before stay.
        """
        known, paths = _known(facts), list(paths)
        report, held, asked = Report(), list[_Read](), deque[_Asked]()
        order: dict[str, int] = {}
        count = weight = 0
        told = progress or (lambda _: None)

        def jobs() -> Iterator[Job]:
            for source in sources_of(paths, under, report.skipped.append):
                order[source.name] = len(order)
                try:
                    job = self._asked(source, known, report)
                except DataError as error:
                    report.failed[source.name] = _reason(error)
                    job = None
                if job is None:
                    told(source.name)
                else:
                    asked.append(job[0])
                    yield job[1]

        with report.stage("whole"), self._reading() as reading:
            self._embedding.missing(report)
            for _, found in reading.all(jobs()):
                mine = asked.popleft()
                if isinstance(found, DataError):
                    report.failed[mine.source.name] = _reason(found)
                    told(mine.source.name)
                    continue
                report.took(found.seconds)
                report.counts.update(found.counts)
                path = str(mine.source.path.absolute())
                held.append(_Read(mine.source.name, mine.digest_of(found), mine.facts, path, found))
                count += len(found.chunks)
                weight += sum(map(len, found.pictures.values()))
                if weight >= HEAVY or count >= TOGETHER:
                    self._write(held, report, told)
                    held, count, weight = [], 0, 0
            self._write(held, report, told)
            self._embedding.forget()
            if prune:
                self._prune(paths, report)
            with report.stage("index"):
                self.refresh()
        report.sort(order)
        return report

    def add_text(self, source: str, text: str, facts: Mapping[str, Any] | None = None) -> Report:
        """Add a text as a document, in the place of the one that is called the same.

        Args:
            source: What it is called.
            text: Its paragraphs, with empty lines between them.
            facts: As of `add`.

        Raises:
            ConfigError: A fact cannot be.
            DataError: No document can be called so.
            EasyRecError: Chunks cannot be embedded or written.
        """
        return self.add_texts([(source, text, facts)])

    def add_texts(
        self,
        texts: Iterable[tuple[str, str, Mapping[str, Any] | None]],
        *,
        progress: Callable[[str], object] | None = None,
    ) -> Report:
        """Add texts as documents, each in the place of the one that is called the same; who is the same stays.

        Args:
            texts: What each is called, what it says, and what is known of it.
            progress: Is told each one that is done.

        Raises:
            ConfigError: A fact cannot be; texts that were written before stay.
            DataError: No document can be called so; likewise.
            EasyRecError: Chunks cannot be embedded or written; likewise.
        """
        report, held, count = Report(), list[_Read](), 0
        told = progress or (lambda _: None)
        with report.stage("whole"):
            self._embedding.missing(report)
            for source, given, facts in texts:
                _check_name(source)
                text = cleaned(given)
                former, digest = self.records.document(source), self._digest(hashlib.sha256(text.encode()).digest())
                known = _kept(former, _known(facts))
                if former is not None and former.digest == digest and former.facts == known:
                    report.unchanged.append(source)
                    told(source)
                    continue
                blocks = [Paragraph(part) for part in text.split("\n\n") if part.strip()]
                found = Cut(list(self._chunker.cut(blocks, self._embedding.vectors)))
                held.append(_Read(source, digest, known, "", found))
                count += len(found.chunks)
                if count >= TOGETHER:
                    self._write(held, report, told)
                    held, count = [], 0
            self._write(held, report, told)
            self._embedding.forget()
            with report.stage("index"):
                self.refresh()
        return report

    # ---------------------------------------------------------------------------------------------- reading

    def preview(self, path: str | os.PathLike[str]) -> list[Chunk]:
        """The chunks that a file would have.

        Raises:
            DataError: It cannot be read.
        """
        (source,) = sources_of([path]) if not Path(path).is_dir() else [Source(Path(path), str(path), "is a folder")]
        if source.problem:
            raise DataError(f"{source.name}: {source.problem}")
        reader = self._reader(source.path)
        reader.check(source.path)
        with self._reading() as reading:
            return reading.one(Job(source.path, reader, self._chunker)).chunks

    def _reading(self) -> Reading:
        return Reading(self.config.reading, self._embedding.vectors if self.embedder is not None else None)

    def _reader(self, path: Path) -> ReaderConfig:
        found: ReaderConfig = self._readers.get(path.suffix.lower()) or reader_of(path)
        return found

    def _asked(self, source: Source, facts: dict[str, list[Fact]] | None, report: Report) -> tuple[_Asked, Job] | None:
        """How a document is read, unless it is known as it is.

        Raises:
            DataError: It cannot be read.
        """
        if source.problem:
            raise DataError(f"{source.name}: {source.problem}")
        reader = self._reader(source.path)
        reader.check(source.path)
        digest = self._digest(digest_of_file(source.path), reader.model_dump_json())
        former = self.records.document(source.name)
        known = _kept(former, facts)
        if former is not None and (former.digest == digest or former.digest == _lacking(digest, reader)):
            if former.facts == known:
                report.unchanged.append(source.name)
            else:
                with self.records.writing():
                    self.records.writer.know(source.name, known, self._now())
                report.updated.append(source.name)
            return None
        return _Asked(source, digest, known, reader), Job(source.path, reader, self._chunker)

    def _digest(self, content: bytes, *told: str) -> str:
        """Of a content's digest, and of how it is read and cut."""
        model = [self.embedder.digest] if self._chunker.embeds and self.embedder is not None else []
        how = json.dumps([*told, self._chunker.model_dump_json(), *model])
        return hashlib.sha256(content + how.encode()).hexdigest()

    def _write(self, documents: Sequence[_Read], report: Report, told: Callable[[str], object]) -> None:
        """Embed what is new, and write documents."""
        if not documents:
            return
        overruled = [self._overruled(each) for each in documents]
        places = [(each, place) for each in range(len(documents)) for place in range(len(documents[each].cut.chunks))]
        asked = [(each, place) for each, place in places if place not in overruled[each]]
        new = dict(zip(asked, self._embedding.new([documents[e].cut.chunks[p] for e, p in asked], report), strict=True))
        room = self.config.pictures_mb << 20
        with report.stage("write"), self.records.writing():
            for number, each in enumerate(documents):
                chunks = [
                    new.get((number, place)) or New(chunk, b"", None) for place, chunk in enumerate(each.cut.chunks)
                ]
                whole = Whole(
                    each.source, each.digest, each.facts, chunks, each.path, each.cut.counts, each.cut.pictures
                )
                written = self.records.writer.put(whole, self._now(), room)
                (report.updated if written.updated else report.added).append(each.source)
                report.chunks += written.chunks
                if written.lost:
                    report.lost[each.source] = list(written.lost)
                if written.left_out:
                    report.counts["pictures_left_out"] += written.left_out
        for each in documents:
            told(each.source)

    def _prune(self, paths: Iterable[str | os.PathLike[str]], report: Report) -> None:
        """Take away the documents whose files were in folders, and are gone."""
        files = self.records.files()
        gone: set[str] = set()
        for folder in map(Path, paths):
            if not folder.is_dir():
                continue
            lost = {source for source, path in files if lies_in(path, folder) and is_gone(path)}
            if lost and not any(folder.iterdir()):
                report.failed[folder.as_posix()] = (
                    f"{folder}: is empty: {len(lost)} documents that were read from it are kept (they can be removed by name)"
                )
                continue
            gone |= lost
        with self.records.writing():
            report.removed += [source for source in sorted(gone) if self.records.writer.drop(source)]

    def _overruled(self, read: _Read) -> set[int]:
        """Chunks in whose place something else stands that somebody wrote: they need no vectors."""
        former = self.records.document(read.source)
        if former is None:
            return set()
        return set(self.records.edits.overruled(former.id, [chunk.digest() for chunk in read.cut.chunks]).by)


def _lacking(digest: str, reader: ReaderConfig) -> str:
    """As `digest`, of a document of which something was left out since an extra is not installed."""
    lacks = reader.lacks()
    return f"{digest} without {', '.join(lacks)}" if lacks else digest


def _reason(error: DataError) -> str:
    """Why a file failed, in a line."""
    return " ".join(str(error).split())[:REASON]


def _known(facts: Mapping[str, Any] | None) -> dict[str, list[Fact]] | None:
    """What is known of documents; None: nothing is said.

    Raises:
        ConfigError: A fact cannot be.
    """
    if facts is None:
        return None
    known = {name: list(values) for name, values in facts_of(facts).items()}
    if "access" in known:
        names_of([*known["access"]])  # type: ignore[list-item]  # what is no text is told
    return known


def _check_name(source: str) -> None:
    if not source or not source.isprintable() or len(source) > LONGEST:
        raise DataError(
            f"{source[:LONGEST]!a}: no document is called so: 1 to {LONGEST} characters that can be printed"
        )


def _kept(former: Stored | None, facts: dict[str, list[Fact]] | None) -> dict[str, list[Fact]]:
    """What is known of a document from now on: who may see it stays so unless somebody says otherwise."""
    before = {} if former is None else former.facts
    if facts is None:
        return before
    return {**facts, "access": before["access"]} if "access" in before and "access" not in facts else facts
