"""`KnowledgeBase`: documents that can be searched."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import Self

from easyrec.errors import ConfigError, DataError
from easyrec.llm.embedders import Embedder
from easyrec.llm.rerankers import Reranker
from easyrec.retrieval.filters import Fact, conditions_of, facts_of
from easyrec.retrieval.keyword.index import KeywordIndex
from feature_generator.config import member, members
from rag.chunkers import Chunk
from rag.config import KnowledgeConfig, SearchConfig
from rag.document import Paragraph
from rag.following import Following
from rag.fusion import Found, fused
from rag.readers import FAMILY, ReaderConfig, reader_of
from rag.records import New, Part, Records, Stored
from rag.stores import VectorStore

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
class Hit:
    """A chunk that was found.

    Attributes:
        part: It, with its document.
        score: By what decided last; larger is better.
        parts: Its scores by `vector`, `keyword` and `reranker`, as far as these found it.
    """

    part: Part
    score: float
    parts: Mapping[str, float]

    @property
    def text(self) -> str:
        """What is read of it."""
        return self.part.chunk.context or self.part.chunk.text


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
        now: Seconds since 1970.

    Raises:
        EasyRecError: It cannot be opened, or was made otherwise.
    """

    def __init__(self, config: KnowledgeConfig, *, now: Callable[[], float] = time.time) -> None:
        self.config, self._now = config, now
        self.folder = Path(config.path)
        self._chunker = _default("rag.chunkers", "structure", config.chunker)
        self._readers = {ending: reader for reader in config.readers for ending in reader.endings}
        self.records = Records(self.folder / "records.db")
        self.embedder: Embedder | None = None
        self.vectors: VectorStore | None = None
        try:
            self.keywords = KeywordIndex(self.folder / "keyword", config.language)
            if config.embedder is not None:
                self.embedder = config.embedder.open()
                self.vectors = _default("rag.stores", "faiss", config.store).open(
                    self.folder / "vectors", self.folder.name
                )
                self._check_embedder()
            self.refresh()
        except BaseException:
            self.close()
            raise

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
        progress: Callable[[str], object] | None = None,
    ) -> Report:
        """Add files, and what is in folders. A file that was added before is written anew where it has changed.

        Args:
            paths: Files and folders; what they are called tells documents apart.
            facts: What is known of all of them, to filter by.
            progress: Is told each source that is done.

        Returns:
            What came of it. A file that cannot be read fails alone.

        Raises:
            ConfigError: A fact cannot be.
            EasyRecError: Chunks cannot be embedded or written; documents that were written before stay.
        """
        known = {name: list(values) for name, values in facts_of(facts or {}).items()}
        report, held = Report(), list[_Read]()
        self._embed_missing(report)
        for path in _files(paths):
            source = path.as_posix()
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
        return self.add_texts([(source, text, facts or {})])

    def add_texts(
        self,
        texts: Iterable[tuple[str, str, Mapping[str, Any]]],
        *,
        progress: Callable[[str], object] | None = None,
    ) -> Report:
        """Add texts as documents, each in the place of the one that is called the same; who is the same stays.

        Args:
            texts: What each is called, what it says, and what is known of it.
            progress: Is told each one that is done.

        Raises:
            ConfigError: A fact cannot be; texts that were written before stay.
            EasyRecError: Chunks cannot be embedded or written; likewise.
        """
        report, held, count = Report(), list[_Read](), 0
        self._embed_missing(report)
        cut = self._chunker.model_dump_json()
        for source, text, facts in texts:
            known = {name: list(values) for name, values in facts_of(facts).items()}
            digest = _digest(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest(), cut)
            former = self.records.document(source)
            if former is not None and former.digest == digest and former.facts == known:
                report.unchanged.append(source)
                if progress is not None:
                    progress(source)
                continue
            chunks = list(self._chunker.chunks([Paragraph(part) for part in text.split("\n\n") if part.strip()]))
            held.append(_Read(source, digest, known, chunks))
            count += len(chunks)
            if count >= TOGETHER:
                self._write(held, report, progress)
                held, count = [], 0
        self._write(held, report, progress)
        self.refresh(report.seconds)
        return report

    def remove(self, source: str) -> bool:
        """Take a document away, and say whether it was there. No search finds it any more."""
        with self.records.writing():
            was = self.records.drop(source)
        self.refresh()
        return was

    def remove_all(self, sources: Iterable[str]) -> int:
        """Take documents away, all or none, and say how many were there."""
        with self.records.writing():
            count = sum(self.records.drop(source) for source in sources)
        self.refresh()
        return count

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

    def documents(self) -> list[Stored]:
        """All documents."""
        return self.records.documents()

    def preview(self, path: str | os.PathLike[str]) -> list[Chunk]:
        """The chunks that a file would have.

        Raises:
            DataError: It cannot be read.
        """
        return list(self._chunker.chunks(self._reader(Path(path)).read(Path(path))))

    def _reader(self, path: Path) -> ReaderConfig:
        found: ReaderConfig = self._readers.get(path.suffix.lower()) or reader_of(path)
        return found

    def _read(self, path: Path, source: str, facts: dict[str, list[Fact]], report: Report) -> _Read | None:
        """A document, unless it is known as it is."""
        begun = time.perf_counter()
        reader = self._reader(path)
        reader.check(path)
        digest = _digest(_sum_of(path), reader.model_dump_json(), self._chunker.model_dump_json())
        former = self.records.document(source)
        if former is not None and former.digest == digest and former.facts == facts:
            report.unchanged.append(source)
            return None
        chunks = list(self._chunker.chunks(reader.read(path)))
        _took(report.seconds, "read", begun)
        return _Read(source, digest, facts, chunks)

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
        reranker: Reranker | None = None,
    ) -> list[Hit]:
        """The chunks that fit a question best.

        Args:
            query: It.
            config: How they are found.
            filter: What must hold of them, as `easyrec.retrieval.filters` has it; `source` and `kind` are always known.
            reranker: What looks at the best ones again; default: none.

        Raises:
            ConfigError: The filter is none, or there are no vectors to search.
            EasyRecError: The question cannot be embedded, or a store cannot be reached.
        """
        how = config or SearchConfig()
        lists = self._lists(query, how, filter)
        wanted = max(how.k, how.reranked) if reranker is not None else how.k
        if how.mode == "hybrid" and self.embedder is not None:
            numbers, scores = fused(lists["vector"], lists["keyword"], wanted, how.fusion)
        else:
            numbers, scores = (part[:wanted] for part in next(iter(lists.values())))
        parts = self.records.parts(numbers.tolist())
        found = [
            (int(number), float(score)) for number, score in zip(numbers, scores, strict=True) if int(number) in parts
        ]
        own = {kind: dict(zip(n.tolist(), s.tolist(), strict=True)) for kind, (n, s) in lists.items()}
        if reranker is not None and found:
            again = reranker.score(query, [parts[number].chunk.searched() for number, _ in found])
            own["reranker"] = {number: float(score) for (number, _), score in zip(found, again, strict=True)}
            found = sorted(own["reranker"].items(), key=lambda entry: (-entry[1], entry[0]))
        least = -np.inf if how.min_score is None else how.min_score
        return [
            Hit(parts[number], score, {kind: scores[number] for kind, scores in own.items() if number in scores})
            for number, score in found[: how.k]
            if score >= least
        ]

    def count(self, filter: Mapping[str, Any] | None = None) -> int:
        """How many chunks pass a filter.

        Raises:
            ConfigError: It is none.
        """
        return self.keywords.count(conditions_of(filter))

    def _lists(self, query: str, how: SearchConfig, filter: Mapping[str, Any] | None) -> dict[str, Found]:
        """What words and vectors find."""
        conditions, lists = conditions_of(filter), dict[str, Found]()
        most = max(how.candidates, how.k)
        if how.mode == "vector" and self.embedder is None:
            raise ConfigError("search.mode: 'vector' needs 'knowledge.embedder'")
        if how.mode != "keyword" and self.embedder is not None and self.vectors is not None:
            lists["vector"] = self.vectors.search(self.embedder.queries([query])[0], most, conditions)
        if how.mode != "vector":
            lists["keyword"] = self.keywords.search(query, most, filter=filter)
        return lists

    def close(self) -> None:
        """Let go of files and models."""
        for held in (getattr(self, "keywords", None), self.vectors, self.embedder, self.records):
            if held is not None:
                held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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
