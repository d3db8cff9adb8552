"""`WordCounts`: how often each word is seen, exactly, in bounded memory."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from feature_generator.fitting.word_runs import SCHEMA, in_order, merged, most_frequent, summed, write_run

LEAST_BYTES = 1 << 20


class WordCounts:
    """Counts words in a table; where that grows beyond its memory it goes to disk as a run in the order of words.

    The counts are exact, and depend neither on the order of the words nor on how they were cut into shards.

    Args:
        memory_bytes: Memory of the table and of the work on it, about.
        folder: Where runs go; by default a temporary folder of its own.
    """

    def __init__(self, memory_bytes: int = 64 << 20, folder: Path | None = None) -> None:
        self.memory_bytes = max(LEAST_BYTES, memory_bytes)
        self._runs: list[Path] = []
        self._counted: pa.Table | None = None
        self._waiting: list[pa.Table] = []
        self._waiting_bytes = 0
        self._parent = folder
        self._folder: Path | None = None
        self._made = 0
        self._others: list[WordCounts] = []  # whose files are ours too, as long as we live

    # Grouping needs the input, the table and a hash index of it: about four times what the words themselves take.
    @property
    def _most_waiting(self) -> int:
        return self.memory_bytes // 8

    @property
    def _most_counted(self) -> int:
        return self.memory_bytes // 6

    @property
    def spilled(self) -> bool:
        """Whether anything went to disk."""
        return bool(self._runs)

    def add(self, words: pa.Array) -> None:
        """Count in texts; nulls do not count."""
        counts = words.drop_null().value_counts()
        self.add_counts(counts.field("values"), counts.field("counts"))

    def add_counts(self, words: pa.Array, counts: pa.Array) -> None:
        """Count in words that were seen several times each."""
        if not len(words):
            return
        table = pa.table([words.cast(pa.large_string()), counts.cast(pa.int64())], schema=SCHEMA)
        self._waiting.append(table)
        self._waiting_bytes += table.nbytes
        if self._waiting_bytes > self._most_waiting:
            self._count()
            assert self._counted is not None
            if self._counted.nbytes > self._most_counted:
                self._spill()

    def merge(self, other: WordCounts) -> None:
        """Count in what `other` has counted; its files stay its own."""
        other._count()
        self._runs += other._runs
        if other._counted is not None:
            self.add_counts(*(column.combine_chunks() for column in other._counted.columns))
        self._others.append(other)

    def add_run(self, path: Path) -> None:
        """Count in a run that someone else has written, which must outlive this one."""
        self._runs.append(path)

    def _count(self) -> None:
        parts = [*([self._counted] if self._counted is not None else []), *self._waiting]
        if self._waiting:
            self._counted = summed(parts)
            self._waiting, self._waiting_bytes = [], 0

    def _spill(self) -> None:
        if self._counted is not None and self._counted.num_rows:
            path = self._new_run()
            write_run(path, [in_order(self._counted)])
            self._runs.append(path)
        self._counted = None

    def _new_run(self) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="words-", dir=self._parent))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._made += 1
        return self._folder / f"{self._made}.arrow"

    def tables(self) -> Iterator[pa.Table]:
        """All words in their order, each once with its count, in blocks."""
        self._count()
        if not self._runs:
            if self._counted is not None:
                yield in_order(self._counted)
            return
        self._spill()
        most = max(2, self.memory_bytes // (1 << 20))
        while len(self._runs) > most:  # more than fit side by side: join some first
            path = self._new_run()
            write_run(path, merged(self._runs[:most]))
            self._drop(self._runs[:most])
            self._runs = [*self._runs[most:], path]
        yield from merged(self._runs)

    def _drop(self, runs: Sequence[Path]) -> None:
        for path in runs:
            if path.parent == self._folder:
                path.unlink()

    def save(self, path: Path) -> None:
        """Write all counts as one run."""
        write_run(path, self.tables())

    def top(self, min_count: int = 1, top_k: int | None = None) -> pa.Table:
        """Columns `word` and `count`, the most frequent first; of equally frequent ones the first in the order of UTF-8.

        Args:
            min_count: Rarer words are left out.
            top_k: At most this many words.
        """
        return most_frequent(self.tables(), min_count, top_k)
