"""`KnowledgeBase`: documents that can be searched."""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from typing_extensions import Self

from easyrec.errors import ConfigError, RunError
from easyrec.llm.embedders import Embedder
from easyrec.llm.rerankers import Reranker
from easyrec.retrieval.keyword.index import KeywordIndex
from feature_generator.config import member
from rag.adding import Adding
from rag.beside import Beside
from rag.config import KnowledgeConfig, SearchConfig
from rag.embedding import Embedding
from rag.finding import Finding, Hit, limits_of, names_of
from rag.following import Following
from rag.records import Part, Records, Stored
from rag.report import Report
from rag.stores import VectorStore

__all__ = ["Hit", "KnowledgeBase", "Report"]


class KnowledgeBase(Adding, Beside):
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
        self.folder, self._following = Path(config.path), threading.Lock()
        self._chunker = _default("rag.chunkers", "structure", config.chunker)
        self._readers = {ending: reader for reader in config.readers for ending in reader.endings}
        self.records = Records(self.folder / "records.db")
        self.embedder: Embedder | None = None
        self.vectors: VectorStore | None = None
        try:
            self.keywords = self._words()
            if config.embedder is not None:
                self.embedder = embedder if embedder is not None else config.embedder.open()
                self.vectors = _default("rag.stores", "faiss", config.store).open(
                    self.folder / "vectors", self._called()
                )
                self._check_embedder()
            elif self._chunker.embeds:
                raise ConfigError(f"knowledge.chunker: '{self._chunker.type}' needs 'knowledge.embedder'")
            self._embedding = Embedding(self.records, self.embedder, now)
            self._finding = Finding(self.records, self.keywords, self.vectors, self.embedder)
            self.refresh()
        except BaseException:
            self.close()
            raise

    def _words(self) -> KeywordIndex:
        """The index of words."""
        folder = self.folder / "keyword"
        try:
            return KeywordIndex(folder, self.config.language)
        except RunError as error:
            raise RunError(f"{error}; if {folder} is removed, it is made anew of the documents that are kept") from None

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

    def remove(self, source: str) -> bool:
        """Take a document away, and say whether it was there. No search finds it any more."""
        return self.remove_all([source]) > 0

    def remove_all(self, sources: Iterable[str]) -> int:
        """Take documents away, all or none, and say how many were there."""
        with self.records.writing():
            count = sum(self.records.writer.drop(source) for source in sources)
        self.refresh()
        return count

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

    def figure(self, part: int, access: Collection[str] | None = None) -> bytes | None:
        """The picture of a chunk, as PNG or JPEG; None where there is none, it was not kept, or it is kept for others."""
        found = self.part(part, access)
        return None if found is None or found.chunk.figure is None else self.records.figures.get(found.chunk.figure)

    def original(self, source: str, access: Collection[str] | None = None) -> Path | None:
        """The file that a document was read from; None where it is no longer there, was none, or is kept for others."""
        found = self.records.document(source)
        if found is None or not found.path or not found.visible(None if access is None else names_of(access)):
            return None
        path = Path(found.path)
        return path if path.is_file() else None

    def refresh(self) -> None:
        """Tell the indexes what has changed, whoever changed it; what a killed process left undone too.

        Raises:
            EasyRecError: An index cannot be changed.
        """
        with self._following:  # one thread at a time lets the index of words go again
            Following(self.records, self.keywords, self.vectors).refresh()

    # ---------------------------------------------------------------------------------------------- search

    def search(
        self,
        query: str,
        config: SearchConfig | None = None,
        *,
        filter: Mapping[str, Any] | None = None,
        access: Collection[str] | None = None,
        reranker: Reranker | None = None,
        passage: bool = False,
    ) -> list[Hit]:
        """The chunks that fit a question best.

        Args:
            query: It.
            config: How they are found.
            filter: What must hold of them, as `easyrec.retrieval.filters` has it; `source` and `kind` are always known.
            access: The names of who asks: what is kept for others is not found. None: who asks may see everything.
            reranker: What looks at the best ones again; default: none.
            passage: Whether it is no question, but words as a document might have them: it is embedded as documents are.

        Raises:
            ConfigError: The filter is none, or there are no vectors to search.
            EasyRecError: The question cannot be embedded, or a store cannot be reached.
        """
        how = config or SearchConfig()
        return self._finding.search(query, how, limits_of(filter, access), reranker, passage=passage)

    def count(self, filter: Mapping[str, Any] | None = None, access: Collection[str] | None = None) -> int:
        """How many chunks pass a filter, with what stands beside them.

        Args:
            filter: What must hold of them.
            access: The names of who asks; None: who asks may see everything.

        Raises:
            ConfigError: It is none.
        """
        return self.keywords.count(limits_of(filter, access))

    def clear_stores(self) -> None:
        """Take all vectors away, also those that lie elsewhere: the next `refresh` would tell them anew.

        Raises:
            StoreError: The store cannot be reached.
        """
        if self.vectors is not None:
            self.vectors.drop()

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


def _default(family: str, name: str, given: Any) -> Any:
    """The config of a member, also where the default stands that is none yet."""
    return member(family, name).Config(**given) if isinstance(given, dict) else given
