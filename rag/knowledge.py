"""`KnowledgeBase`: documents that can be searched."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from typing_extensions import Self

from easyrec.errors import DataError
from easyrec.llm.embedders import Embedder
from easyrec.llm.rerankers import Reranker
from easyrec.retrieval.filters import Fact, facts_of
from easyrec.retrieval.keyword.index import KeywordIndex
from feature_generator.config import member, members
from rag.chunkers import Chunk
from rag.config import KnowledgeConfig, SearchConfig
from rag.document import Paragraph
from rag.finding import Finding, Hit, limits_of, names_of
from rag.following import Following
from rag.links import kind_of
from rag.readers import FAMILY, ReaderConfig, reader_of
from rag.records import New, Part, Records, Stored
from rag.stores import VectorStore

__all__ = ["Hit", "KnowledgeBase", "Report"]

TOGETHER = 512
"""New chunks that are embedded, and written, at a time."""


@dataclass
class Report:
    """What came of adding documents.

    Attributes:
        added: Sources that are new.
        updated: Sources whose content, or what is known of them, has changed.
        unchanged: Sources that are as they were.
        failed: Sources that could not be read, with the reasons; what was known of them stays.
        chunks: How many chunks the added and updated ones have.
        embedded: How many texts were embedded; the other chunks had their vectors already.
        seconds: How long each stage took.
    """

    added: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    chunks: int = 0
    embedded: int = 0
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Read:
    """A document that was read."""

    source: str
    digest: str
    facts: dict[str, list[Fact]]
    chunks: list[Chunk]


class KnowledgeBase:
    """Documents, cut into chunks, that are found by their words and by what they mean. Any thread may search.

    Several processes may have it open: one writes at a time, and the others see what it wrote at their next `refresh`.

    Args:
        config: What it holds, and how.
        embedder: What makes vectors, as `config` has it, where others use it too: it is not closed with this one.
        now: Seconds since 1970.

    Attributes:
        closed: Whether it was closed.

    Raises:
        EasyRecError: It cannot be opened, or was made otherwise.
    """

    def __init__(
        self, config: KnowledgeConfig, *, embedder: Embedder | None = None, now: Callable[[], float] = time.time
    ) -> None:
        self.config, self._now, self._shared, self.closed = config, now, embedder is not None, False
        self.folder = Path(config.path)
        self._chunker = _default("rag.chunkers", "structure", config.chunker)
        self._readers = {ending: reader for reader in config.readers for ending in reader.endings}
        self.records = Records(self.folder / "records.db")
        self.embedder: Embedder | None = None
        self.vectors: VectorStore | None = None
        try:
            self.keywords = KeywordIndex(self.folder / "keyword", config.language)
            if config.embedder is not None:
                self.embedder = embedder if embedder is not None else config.embedder.open()
                self.vectors = _default("rag.stores", "faiss", config.store).open(
                    self.folder / "vectors", self._called()
                )
                self._check_embedder()
            self._finding = Finding(self.records, self.keywords, self.vectors, self.embedder)
            self.refresh()
        except BaseException:
            self.close()
            raise

    def _called(self) -> str:
        """Its name in a store that others use too, which no other has, also where folders are called the same."""
        name = self.records.about("name")
        if name is None:
            with self.records.writing():
                name = self.records.about("name")
                if name is None:
                    told = re.sub(r"[^a-z0-9]+", "_", self.folder.name.lower()).strip("_")[:32]
                    name = f"{told or 'kb'}_{uuid.uuid4().hex[:12]}"
                    self.records.tell("name", name)
        return name

    def _check_embedder(self) -> None:
        """Vectors of two models cannot be compared: with another model all are made anew at the next `add`."""
        assert self.embedder is not None
        if self.records.about("embedder") != self.embedder.digest:
            with self.records.writing():
                if self.records.about("embedder") is not None:
                    self.records.forget_vectors()
                self.records.tell("embedder", self.embedder.digest)
            if self.vectors is not None:
                self.vectors.clear()

    # -------------------------------------------------------------------------------------------- documents

    def add(
        self,
        paths: Iterable[str | os.PathLike[str]],
        facts: Mapping[str, Any] | None = None,
        *,
        under: str | os.PathLike[str] | None = None,
        progress: Callable[[str], object] | None = None,
    ) -> Report:
        """Add files, and what is in folders. A file that was added before is written anew where it has changed.

        Args:
            paths: Files and folders; what they are called tells documents apart.
            facts: What is known of all of them, to filter by; `access` names who may see them, default: everybody. None:
                what was known of them stays. `access` stays too unless it is named.
            under: A folder from which on files are called; default: they are called as `paths` names them.
            progress: Is told each source that is done.

        Returns:
            What came of it. A file that cannot be read fails alone.

        Raises:
            ConfigError: A fact cannot be.
            EasyRecError: Chunks cannot be embedded or written; documents that were written before stay.
        """
        known = _known(facts)
        report, held = Report(), list[_Read]()
        self._embed_missing(report)
        for path in _files(paths):
            source = (path if under is None else path.relative_to(under)).as_posix()
            try:
                read = self._read(path, source, known, report)
            except DataError as error:
                report.failed[source] = str(error)
                read = None
            if read is None:
                if progress is not None:
                    progress(source)
                continue
            held.append(read)
            if sum(len(each.chunks) for each in held) >= TOGETHER:
                self._write(held, report, progress)
                held = []
        self._write(held, report, progress)
        self.refresh(report.seconds)
        return report

    def add_text(self, source: str, text: str, facts: Mapping[str, Any] | None = None) -> Report:
        """Add a text as a document, in the place of the one that is called the same.

        Raises:
            ConfigError: A fact cannot be.
            EasyRecError: Chunks cannot be embedded or written.
        """
        known = _known(facts)
        chunks = list(self._chunker.chunks([Paragraph(part) for part in text.split("\n\n") if part.strip()]))
        report = Report()
        content = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        known = _kept(self.records.document(source), known)
        read = _Read(source, _digest(content, self._chunker.model_dump_json()), known or {}, chunks)
        self._write([read], report, None)
        self.refresh(report.seconds)
        return report

    def remove(self, source: str) -> bool:
        """Take a document away, and say whether it was there. No search finds it any more."""
        with self.records.writing():
            was = self.records.drop(source)
        self.refresh()
        return was

    def edit(self, part: int, text: str) -> None:
        """Let a chunk say something else, until its document is written anew.

        Raises:
            DataError: There is no such chunk.
        """
        found = self.records.parts([part]).get(part)
        if found is None:
            raise DataError(f"{self.folder}: there is no chunk {part}")
        (new,) = self._embedded([found.chunk.with_text(text)], Report())
        with self.records.writing():
            self.records.edit(part, new, self._now())
        self.refresh()

    def drop(self, part: int) -> None:
        """Take one chunk away.

        Raises:
            DataError: There is no such chunk.
        """
        if part not in self.records.parts([part]):
            raise DataError(f"{self.folder}: there is no chunk {part}")
        with self.records.writing():
            self.records.drop_part(part)
        self.refresh()

    def figure(self, part: int, access: Collection[str] | None = None) -> bytes | None:
        """The picture of a chunk; None where there is none."""
        return None

    def original(self, source: str, access: Collection[str] | None = None) -> Path | None:
        """The file that a document was read from, where it still is."""
        return Path(source) if Path(source).is_file() else None

    def documents(self, access: Collection[str] | None = None) -> list[Stored]:
        """All documents that somebody with these names may see; None: all."""
        names = None if access is None else names_of(access)
        return [each for each in self.records.documents() if each.visible(names)]

    def parts(self, source: str, access: Collection[str] | None = None) -> list[Part]:
        """The chunks of a document, in their order; none where there is no such document, or it is kept for others."""
        found = self.records.document(source)
        if found is None or not found.visible(None if access is None else names_of(access)):
            return []
        return self.records.parts_of(found.id)

    def part(self, number: int, access: Collection[str] | None = None) -> Part | None:
        """A chunk, a link or a summary; None where there is none, or it is kept for others."""
        found = self.records.parts([number]).get(number)
        return found if found is not None and found.visible(None if access is None else names_of(access)) else None

    # ------------------------------------------------------------------------------------- what stands beside

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
        told = {part: list(dict.fromkeys(t.strip() for t in own if t.strip())) for part, own in texts.items()}
        parts = self._parts_for(told)
        chunks = [Chunk(text, kind=parts[part].chunk.kind) for part, own in told.items() for text in own]
        new = iter(self._embedded(chunks, Report()))
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

    def unlinked(self, kind: str, after: int = 0, most: int = 500) -> list[Part]:
        """The next chunks, behind a number, that were not given links of a kind yet, none at all included."""
        return self.records.unlinked(kind_of(kind), after, most)

    def unlink(self, kind: str) -> None:
        """Take all links of a kind away."""
        with self.records.writing():
            self.records.links.unlink(kind_of(kind))
        self.refresh()

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
        parts = self._parts_for({child for _, _, children in trees for child in children}, links=False)
        for level, _, children in trees:
            own = [parts[child].number if parts[child].link else 0 for child in children]
            if not own or level <= max(own):
                raise DataError(f"{self.folder}: a summary of level {level} must be of something below that level")
        chunks = [
            Chunk(text, _shared_path([parts[child].chunk.path for child in children]), kind="summary")
            for _, text, children in trees
        ]
        new = self._embedded(chunks, Report())
        with self.records.writing():
            self._parts_for({child for _, _, children in trees for child in children}, links=False)
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

    def _parts_for(self, numbers: Iterable[int], *, links: bool = False) -> dict[int, Part]:
        wanted = list(numbers)
        found = {part.id: part for part in self.records.parts(wanted).values() if links or part.parent is None}
        missing = [number for number in wanted if number not in found]
        if missing:
            raise DataError(f"{self.folder}: there is no chunk {missing[0]}")
        return found

    # ---------------------------------------------------------------------------------------------- reading

    def preview(self, path: str | os.PathLike[str]) -> list[Chunk]:
        """The chunks that a file would have.

        Raises:
            DataError: It cannot be read.
        """
        return list(self._chunker.chunks(self._reader(Path(path)).read(Path(path))))

    def _reader(self, path: Path) -> ReaderConfig:
        found: ReaderConfig = self._readers.get(path.suffix.lower()) or reader_of(path)
        return found

    def _read(self, path: Path, source: str, facts: dict[str, list[Fact]] | None, report: Report) -> _Read | None:
        """A document, unless it is known as it is."""
        begun = time.perf_counter()
        reader = self._reader(path)
        reader.check(path)
        digest = _digest(_sum_of(path), reader.model_dump_json(), self._chunker.model_dump_json())
        former = self.records.document(source)
        known = _kept(former, facts)
        if former is not None and former.digest == digest:
            if former.facts == known:
                report.unchanged.append(source)
            else:
                with self.records.writing():
                    self.records.know(source, known, self._now())
                report.updated.append(source)
            return None
        chunks = list(self._chunker.chunks(reader.read(path)))
        _took(report.seconds, "read", begun)
        return _Read(source, digest, known, chunks)

    def _write(self, documents: Sequence[_Read], report: Report, progress: Callable[[str], object] | None) -> None:
        """Embed what is new, and write documents."""
        if not documents:
            return
        new = iter(self._embedded([chunk for each in documents for chunk in each.chunks], report))
        begun = time.perf_counter()
        with self.records.writing():
            for each in documents:
                chunks = [next(new) for _ in each.chunks]
                updated = self.records.put(each.source, each.digest, each.facts, chunks, self._now())
                (report.updated if updated else report.added).append(each.source)
                report.chunks += len(chunks)
        _took(report.seconds, "write", begun)
        if progress is not None:
            for each in documents:
                progress(each.source)

    def _embedded(self, chunks: Sequence[Chunk], report: Report) -> list[New]:
        """Chunks with their vectors; equal texts are embedded once, and those that have a vector already are not."""
        texts = [chunk.searched() for chunk in chunks]
        keys = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in texts]
        if self.embedder is None:
            return [New(chunk, key, None) for chunk, key in zip(chunks, keys, strict=True)]
        begun = time.perf_counter()
        by_key = dict(zip(keys, texts, strict=True))
        known = self.records.vectors_of(list(by_key))
        missing = [key for key in by_key if key not in known]
        if missing:
            known |= zip(missing, self.embedder.documents([by_key[key] for key in missing]), strict=True)
        report.embedded += len(missing)
        _took(report.seconds, "embed", begun)
        return [New(chunk, key, known[key]) for chunk, key in zip(chunks, keys, strict=True)]

    def _embed_missing(self, report: Report) -> None:
        """Vectors for chunks that have none, since there was no embedder or another one."""
        while self.embedder is not None and (parts := self.records.without_vectors(TOGETHER)):
            new = self._embedded([part.chunk for part in parts], report)
            with self.records.writing():
                self.records.give_vectors(
                    {p.id: n.vector for p, n in zip(parts, new, strict=True) if n.vector is not None}
                )

    def refresh(self, seconds: dict[str, float] | None = None) -> None:
        """Tell the indexes what has changed, whoever changed it; what a killed process left undone too.

        Raises:
            EasyRecError: An index cannot be changed.
        """
        begun = time.perf_counter()
        Following(self.records, self.keywords, self.vectors).refresh()
        if seconds is not None:
            _took(seconds, "index", begun)

    # ---------------------------------------------------------------------------------------------- search

    def search(
        self,
        query: str,
        config: SearchConfig | None = None,
        *,
        filter: Mapping[str, Any] | None = None,
        access: Collection[str] | None = None,
        reranker: Reranker | None = None,
    ) -> list[Hit]:
        """The chunks that fit a question best.

        Args:
            query: It.
            config: How they are found.
            filter: What must hold of them, as `easyrec.retrieval.filters` has it; `source` and `kind` are always known.
            access: The names of who asks: what is kept for others is not found. None: who asks may see everything.
            reranker: What looks at the best ones again; default: none.

        Raises:
            ConfigError: The filter is none, or there are no vectors to search.
            EasyRecError: The question cannot be embedded, or a store cannot be reached.
        """
        return self._finding.search(query, config or SearchConfig(), limits_of(filter, access), reranker)

    def clear_stores(self) -> None:
        """Take all vectors away, also those that lie elsewhere: the next `refresh` would tell them anew.

        Raises:
            StoreError: The store cannot be reached.
        """
        if self.vectors is not None:
            self.vectors.clear()

    def close(self) -> None:
        """Let go of files and models."""
        self.closed = True
        for held in (
            getattr(self, "keywords", None),
            self.vectors,
            None if self._shared else self.embedder,
            self.records,
        ):
            if held is not None:
                held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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


def _kept(former: Stored | None, facts: dict[str, list[Fact]] | None) -> dict[str, list[Fact]]:
    """What is known of a document from now on: who may see it stays so unless somebody says otherwise."""
    before = {} if former is None else former.facts
    if facts is None:
        return before
    return {**facts, "access": before["access"]} if "access" in before and "access" not in facts else facts


def _shared_path(paths: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The headings that all have above them."""
    first, last = min(paths), max(paths)
    length = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[:length]


def _default(family: str, name: str, given: Any) -> Any:
    """The config of a member, also where the default stands that is none yet."""
    return member(family, name).Config(**given) if isinstance(given, dict) else given


def _files(paths: Iterable[str | os.PathLike[str]]) -> Iterable[Path]:
    """Files, and those in folders that a reader knows, each once and in an order that does not change."""
    endings = {ending for name in members(FAMILY) for ending in member(FAMILY, name).Config.endings}
    seen: set[Path] = set()
    for given in map(Path, paths):
        inside = (
            sorted(p for p in given.rglob("*") if p.is_file() and p.suffix.lower() in endings)
            if given.is_dir()
            else [given]
        )
        for path in inside:
            if path not in seen:
                seen.add(path)
                yield path


def _sum_of(path: Path) -> bytes:
    """Digest of a file, which need not fit into memory.

    Raises:
        DataError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def _digest(content: bytes, *told: str) -> str:
    """Of a content's digest, and of how it is read."""
    return hashlib.sha256(content + json.dumps(told).encode()).hexdigest()


def _took(seconds: dict[str, float], stage: str, begun: float) -> None:
    seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - begun
