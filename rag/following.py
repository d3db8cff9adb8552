"""`Following`: the indexes of words and of vectors follow what the records say, whoever changed them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from easyrec.durable import write_text
from easyrec.retrieval.keyword.index import Busy, KeywordIndex
from rag.records import Records
from rag.stores import VectorStore

AT_ONCE = 2000
"""Changes that an index is told at a time."""
TOLD = "told"
"""The file, beside the index of words, that says which change it was told last."""


class Following:
    """Tells the indexes what they have missed: told twice, nothing changes.

    Args:
        records: What there is.
        keywords: The index of words. It has one writer; who isn't sees what that one has written.
        vectors: The store of vectors, if there is one.
    """

    def __init__(self, records: Records, keywords: KeywordIndex, vectors: VectorStore | None) -> None:
        self._records, self._keywords, self._vectors = records, keywords, vectors

    def refresh(self) -> None:
        """Tell both what has changed.

        Raises:
            EasyRecError: An index cannot be changed.
        """
        self._follow_words()
        if self._vectors is not None:
            self._follow(self._vectors.told(), self._tell_vectors, self._vectors.commit, self._vectors.clear)

    def _follow_words(self) -> None:
        told = self._keywords.folder / TOLD
        since = _number_in(told)
        if since == self._records.last():
            self._keywords.reload()
            return

        def commit(change: int) -> None:
            self._keywords.commit()
            write_text(told, str(change))

        try:
            self._follow(since, self._tell_words, commit, self._keywords.clear)
        except Busy:
            self._keywords.reload()
        finally:
            self._keywords.close()  # others may write now

    def _follow(
        self, since: int, tell: Callable[[list[int]], None], commit: Callable[[int], None], clear: Callable[[], None]
    ) -> None:
        """Tell an index the changes behind one, or everything where they are not remembered."""
        changes = self._records.changed(since, AT_ONCE)
        if changes is None:
            clear()
            last, chunk = self._records.last(), 0
            while parts := self._records.after(chunk, AT_ONCE):
                tell([part.id for part in parts])
                chunk = parts[-1].id
            commit(last)
            return
        while changes is not None and changes[1]:
            since, numbers = changes
            tell(numbers)
            commit(since)
            changes = self._records.changed(since, AT_ONCE)

    def _tell_words(self, numbers: list[int]) -> None:
        parts = self._records.parts(numbers)
        self._keywords.remove(number for number in numbers if number not in parts)
        there = [parts[number] for number in numbers if number in parts]
        self._keywords.add(
            [part.id for part in there], [part.chunk.searched() for part in there], [part.known() for part in there]
        )

    def _tell_vectors(self, numbers: list[int]) -> None:
        assert self._vectors is not None
        found = self._records.parts(numbers, vectors=True).values()
        parts = {part.id: (part, part.vector) for part in found if part.vector is not None}
        self._vectors.remove(np.array([number for number in numbers if number not in parts], np.int64))
        if parts:
            vectors = np.stack([vector for _, vector in parts.values()])
            self._vectors.add(np.array(list(parts), np.int64), vectors, [part.known() for part, _ in parts.values()])


def _number_in(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0
