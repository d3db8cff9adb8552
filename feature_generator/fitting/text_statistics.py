"""`TextStatistics`: how many texts there are, how long they are, and how many hold each word."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from feature_generator.fitting.word_counts import WordCounts


class TextStatistics:
    """What `bm25` needs to know of a collection of texts.

    Args:
        words: Counts, for each word, the texts that hold it.
    """

    def __init__(self, words: WordCounts) -> None:
        self.words = words
        self.doc_count = 0
        self.total_length = 0

    def add(self, offsets: np.ndarray[Any, Any], words: pa.Array) -> None:
        """Count in texts; one without words is none.

        Args:
            offsets: (texts + 1,) text t has the words `offsets[t] .. offsets[t + 1]`.
            words: Their words.
        """
        lengths = np.diff(offsets)
        self.doc_count += int(np.count_nonzero(lengths))
        self.total_length += int(lengths.sum())
        coded = words.slice(int(offsets[0]), int(lengths.sum())).dictionary_encode()
        if not len(coded.dictionary):
            return
        pairs = np.repeat(np.arange(len(lengths)), lengths) * len(coded.dictionary) + coded.indices.to_numpy()
        held = np.bincount(np.unique(pairs) % len(coded.dictionary), minlength=len(coded.dictionary))
        self.words.add_counts(coded.dictionary, pa.array(held, pa.int64()))

    def merge(self, other: TextStatistics) -> None:
        """Count in what `other` has counted."""
        self.words.merge(other.words)
        self.doc_count += other.doc_count
        self.total_length += other.total_length

    @property
    def avg_length(self) -> float:
        """Words of an average text."""
        return self.total_length / self.doc_count
