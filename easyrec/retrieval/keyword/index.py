"""`KeywordIndex`: texts in a folder that are found by their words."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from typing_extensions import Self

from easyrec.durable import write_text
from easyrec.errors import MissingExtra, RunError
from easyrec.retrieval.filters import AnyOf, Condition, Facts, Range, conditions_of, facts_of
from easyrec.retrieval.keyword.terms import EVERY, range_terms, term_of, terms_of
from easyrec.retrieval.keyword.words import Words

FORMAT = 1
ABOUT = "keyword.json"
HEAP = 64 << 20
"""Bytes of words that are collected before they are written."""
WORDS = 256
"""Words of a query that are looked for: the first ones of a longer query."""


class Busy(RunError):  # noqa: N818 (it says what the index is)
    """Another process writes to an index."""


class KeywordIndex:
    """Entries with a number, a text and what is known of them. Any number of threads may search; one process may write.

    What was added or taken away is found, or not found, after `commit`; until then it is as if it had not been, also after
    a crash. Who searches in other processes calls `reload`.

    Args:
        folder: Where it lies; made where it is not there.
        language: Of a new index: whose endings are cut off. An index keeps the language that it was made with.

    Raises:
        ConfigError: The language is not known.
        MissingExtra: The packages tantivy and PyStemmer are not installed.
        RunError: The folder holds something else, or an index of another version.
    """

    def __init__(self, folder: str | os.PathLike[str], language: str | None = "english") -> None:
        self.folder = Path(folder)
        self._tantivy = _package()
        about = self._about(language)
        self.words = Words(about["language"])
        builder = self._tantivy.SchemaBuilder()
        builder.add_text_field("text", stored=False, tokenizer_name="whitespace", index_option="freq")
        builder.add_unsigned_field("number", stored=False, indexed=True, fast=True)
        builder.add_text_field("facts", stored=False, tokenizer_name="raw", index_option="basic")
        self._schema = builder.build()
        try:
            self._index = self._tantivy.Index(self._schema, path=str(self.folder), reuse=True)
        except (ValueError, OSError) as error:
            raise RunError(f"{self.folder}: the keyword index cannot be opened: {error}") from None
        self._lock = threading.Lock()
        self._writer: Any = None

    def _about(self, language: str | None) -> dict[str, Any]:
        """What the folder says of itself; a new one is told first, so that a half-made one is recognised."""
        path = self.folder / ABOUT
        if path.exists():
            try:
                about = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise RunError(f"{path} cannot be read: {error}") from None
            if not isinstance(about, dict) or about.get("format") != FORMAT:
                raise RunError(f"{path} was made by another version of this program: index the texts anew")
            if not (self.folder / "meta.json").exists() and any(self.folder.glob("*.store")):  # else it would be empty
                raise RunError(f"{self.folder} is damaged: its file meta.json is gone")
            return about
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if any(self.folder.iterdir()):
                raise RunError(f"{self.folder} holds something else than a keyword index: name another folder")
        except OSError as error:
            raise RunError(f"{self.folder} cannot be made: {error.strerror or error}") from None
        Words(language)  # before a folder says so
        about = {"format": FORMAT, "language": language}
        write_text(path, json.dumps(about))
        return about

    # -------------------------------------------------------------------------------------------- changes

    def add(self, numbers: Sequence[int], texts: Sequence[str], facts: Sequence[Facts] | None = None) -> None:
        """Add entries; one whose number is there already takes its place.

        Args:
            numbers: From 0 on.
            texts: What is searched.
            facts: What is known of each, to filter by.

        Raises:
            ConfigError: A fact cannot be.
            Busy: Another process writes.
            RunError: The disk refuses.
        """
        told = [{}] * len(numbers) if facts is None else [facts_of(each) for each in facts]
        with self._writing() as writer:
            for number, text, known in zip(numbers, texts, told, strict=True):
                entry = self._tantivy.Document()
                entry.add_unsigned("number", int(number))
                entry.add_text("text", " ".join(self.words(text)))
                for term in terms_of(known):
                    entry.add_text("facts", term)
                self._take(writer, number)
                writer.add_document(entry)

    def remove(self, numbers: Iterable[int]) -> None:
        """Take entries away; who is not there is not missed.

        Raises:
            Busy: Another process writes.
            RunError: The disk refuses.
        """
        with self._writing() as writer:
            for number in numbers:
                self._take(writer, number)

    def _take(self, writer: Any, number: int) -> None:
        """Take an entry away. By a query: the engine takes a number for another type where it is given as a term."""
        writer.delete_documents_by_query(self._tantivy.Query.term_query(self._schema, "number", int(number)))

    def clear(self) -> None:
        """Take all entries away.

        Raises:
            Busy: Another process writes.
            RunError: The disk refuses.
        """
        with self._writing() as writer:
            writer.delete_all_documents()

    def commit(self) -> None:
        """Let what was changed be found.

        Raises:
            RunError: The disk refuses; nothing is changed.
        """
        if self._writer is not None:
            with self._writing() as writer:
                writer.commit()
        self.reload()

    def rollback(self) -> None:
        """Forget what was changed since the last `commit`."""
        if self._writer is not None:
            with self._writing() as writer:
                writer.rollback()

    def reload(self) -> None:
        """See what another process has committed."""
        self._index.reload()

    def close(self) -> None:
        """Let others write; what was not committed is forgotten."""
        with self._lock:
            writer, self._writer = self._writer, None
        if writer is not None:
            writer.rollback()
            writer.wait_merging_threads()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _writing(self) -> _Writing:
        return _Writing(self)

    # --------------------------------------------------------------------------------------------- search

    def __len__(self) -> int:
        return int(self._index.searcher().num_docs)

    def search(
        self,
        query: str,
        k: int = 10,
        *,
        filter: Mapping[str, Any] | None = None,
        conditions: Sequence[Condition] = (),
        among: Sequence[int] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The entries that fit a query best.

        Args:
            query: Any text.
            k: How many are wanted; fewer where fewer have one of its words.
            filter: What must hold of them, as `easyrec.retrieval.filters` has it.
            conditions: The same, as `conditions_of` gives them; both must hold.
            among: Numbers of those that may be found; None: all.

        Returns:
            Numbers (n,) int64 and scores (n,) float32 of BM25 (k1 1.2, b .75), the best first; of equal ones the smaller
            number first.

        Raises:
            ConfigError: The filter is none.
        """
        conditions = (*conditions_of(filter), *conditions)
        words = self.words(query)[:WORDS]
        if not words or k < 1 or (among is not None and not len(among)):
            return np.empty(0, np.int64), np.empty(0, np.float32)
        asked = self._query(words, conditions, among)
        searcher = self._index.searcher()
        hits = searcher.search(asked, k, count=False).hits
        numbers = np.array(searcher.fast_field_values("number", [place for _, place in hits]), np.int64)
        scores = np.array([score for score, _ in hits], np.float32)
        order = np.lexsort((numbers, -scores))
        return numbers[order], scores[order]

    def count(self, conditions: Sequence[Condition] = ()) -> int:
        """How many entries pass."""
        if not conditions:
            return len(self)
        query, occur = self._tantivy.Query, self._tantivy.Occur
        asked = query.boolean_query([(occur.Must, self._condition(condition)) for condition in conditions])
        return int(self._index.searcher().search(asked, 1, count=True).count)

    def _query(self, words: Sequence[str], conditions: Sequence[Condition], among: Sequence[int] | None) -> Any:
        """One of the words, and all of the conditions."""
        query, occur = self._tantivy.Query, self._tantivy.Occur
        any_word = query.boolean_query(
            [(occur.Should, query.term_query(self._schema, "text", word, "freq")) for word in words]
        )
        limits = [self._condition(condition) for condition in conditions]
        if among is not None:
            limits.append(query.term_set_query(self._schema, "number", [int(number) for number in among]))
        if not limits:
            return any_word
        # What is only a condition adds nothing to the score.
        return query.boolean_query(
            [(occur.Must, any_word), *((occur.Must, query.const_score_query(limit, 0.0)) for limit in limits)]
        )

    def _condition(self, condition: Condition) -> Any:
        query, occur = self._tantivy.Query, self._tantivy.Occur
        if isinstance(condition, Range):
            return query.term_set_query(self._schema, "facts", range_terms(condition))
        terms = query.term_set_query(
            self._schema, "facts", [term_of(condition.name, value) for value in condition.values]
        )
        if isinstance(condition, AnyOf):
            return terms
        every = query.term_query(self._schema, "facts", EVERY)
        return query.boolean_query([(occur.Must, every), (occur.MustNot, terms)])


class _Writing:
    """The index's writer, one change at a time; what the engine says is told in our words."""

    def __init__(self, index: KeywordIndex) -> None:
        self._of = index

    def __enter__(self) -> Any:
        self._of._lock.acquire()
        try:
            if self._of._writer is None:
                self._of._writer = self._of._index.writer(HEAP, 1)
        except ValueError as error:
            self._of._lock.release()
            busy = "LockBusy" in str(error) or "lock" in str(error).lower()
            if busy:
                raise Busy(f"{self._of.folder}: another process writes to the keyword index") from None
            raise RunError(f"{self._of.folder}: the keyword index cannot be changed: {error}") from None
        return self._of._writer

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._of._lock.release()
        if isinstance(error, ValueError | OSError) and not isinstance(error, UnicodeError):
            raise RunError(f"{self._of.folder}: the keyword index cannot be changed: {error}") from None


def _package() -> Any:
    """The engine.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        import tantivy  # noqa: PLC0415 (an extra)
    except ImportError:
        raise MissingExtra("tantivy", "rag") from None
    return tantivy
