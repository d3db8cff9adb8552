"""What a feature's values add up to while rows go by: one gatherer per feature that learns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from feature_generator.fitting.moments import Moments
from feature_generator.fitting.quantiles import Quantiles
from feature_generator.fitting.subject import Subject, blank
from feature_generator.fitting.text_statistics import TextStatistics
from feature_generator.fitting.word_counts import WordCounts

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Elements:
    """The values of a block: of every row, or of every element of its sequences.

    Attributes:
        offsets: (elements + 1,) from 0: element e has the values `offsets[e] .. offsets[e + 1]`.
        values: All values, texts or numbers.
        rows: (elements,) the row of each element.
    """

    offsets: Array
    values: pa.Array
    rows: Array

    @staticmethod
    def of(lists: pa.Array) -> Elements:
        """The elements of what `FeatureGenerator.values` returns."""
        rows = np.arange(len(lists))
        if pa.types.is_large_list(lists.type.value_type):
            rows = np.repeat(rows, np.diff(lists.offsets.to_numpy()))
            lists = lists.flatten()
        offsets = lists.offsets.to_numpy()
        return Elements(offsets - offsets[0], lists.flatten(), rows)

    @property
    def lengths(self) -> Array:
        """(elements,) values of each."""
        return np.diff(self.offsets)


@dataclass
class Seen:
    """How much a gatherer has seen.

    Attributes:
        elements: Rows, or elements of sequences.
        missing: Those that have no value.
        values: Values that counted.
    """

    elements: int = 0
    missing: int = 0
    values: int = 0

    def add(self, lengths: Array) -> None:
        """Count in elements by the number of their values."""
        self.elements += len(lengths)
        self.missing += int(np.count_nonzero(lengths == 0))
        self.values += int(lengths.sum())

    def merge(self, other: Seen) -> None:
        """Count in what `other` has counted."""
        self.elements += other.elements
        self.missing += other.missing
        self.values += other.values


class Words:
    """Counts the words of a vocabulary.

    Args:
        subject: The feature.
        memory_bytes: Memory for the counts.
        folder: Where they go beyond that.
    """

    def __init__(self, subject: Subject, memory_bytes: int, folder: Path | None) -> None:
        self.first_only: bool = blank(subject).first_only(subject.node.sequence)
        self.counts = WordCounts(memory_bytes, folder)
        self.seen = Seen()

    def add(self, elements: Elements, labels: Array | None) -> None:
        """Count in a block."""
        values, lengths = elements.values, elements.lengths
        if self.first_only and len(lengths) and lengths.max() > 1:
            values = values.take(pa.array(elements.offsets[:-1][lengths > 0]))
            lengths = np.minimum(lengths, 1)
        self.seen.add(lengths)
        self.counts.add(values)

    def merge(self, other: Any) -> None:
        """Count in what `other` has counted."""
        self.seen.merge(other.seen)
        self.counts.merge(other.counts)


class Texts:
    """Counts texts, their words, and how many hold each word."""

    def __init__(self, memory_bytes: int, folder: Path | None) -> None:
        self.statistics = TextStatistics(WordCounts(memory_bytes, folder))
        self.seen = Seen()

    def add(self, elements: Elements, labels: Array | None) -> None:
        """Count in a block."""
        self.seen.add(elements.lengths)
        self.statistics.add(elements.offsets, elements.values)

    def merge(self, other: Any) -> None:
        """Count in what `other` has counted."""
        self.seen.merge(other.seen)
        self.statistics.merge(other.statistics)


class Numbers:
    """Moments of numbers, and their quantiles where edges are wanted.

    Args:
        subject: The feature.
        normalize: What is done to numbers before; returns them, and which of those that came in they are.
    """

    def __init__(self, subject: Subject, normalize: Callable[[Array], tuple[Array, Array]] | None = None) -> None:
        boundaries = subject.fit.boundaries
        self.dim: int = blank(subject).numbers().value_dim
        self.normalize = normalize
        self.moments = Moments()
        self.labels = Moments()
        self.binary = True
        self.quantiles: Quantiles | None = None
        if boundaries is not None and boundaries.method != "uniform":
            self.quantiles = Quantiles(boundaries.method == "tree")
        self.seen = Seen()

    def add(self, elements: Elements, labels: Array | None) -> None:
        """Count in a block; vectors of the wrong length and numbers beyond float32 are left out."""
        numbers, lengths = elements.values.to_numpy(zero_copy_only=False), elements.lengths
        good = np.abs(numbers) <= LARGEST
        if self.dim:
            good &= np.repeat(lengths == self.dim, lengths)
        rows = np.repeat(elements.rows, lengths)[good]
        numbers = numbers[good]
        if self.normalize is not None:
            numbers, which = self.normalize(numbers)
            rows = rows[which]
        left = np.bincount(np.repeat(np.arange(len(lengths)), lengths)[good], minlength=len(lengths))
        self.seen.add(left)
        self.moments.add(numbers)
        if self.quantiles is None:
            return
        if not self.quantiles.labelled:
            self.quantiles.add(numbers)
            return
        assert labels is not None
        each = labels[rows]
        known = ~np.isnan(each)
        each = each[known]
        self.binary = self.binary and bool(np.isin(each, (0.0, 1.0)).all())
        self.labels.add(each)
        self.quantiles.add(numbers[known], each)

    def merge(self, other: Any) -> None:
        """Count in what `other` has counted."""
        self.seen.merge(other.seen)
        self.moments.merge(other.moments)
        self.labels.merge(other.labels)
        self.binary = self.binary and other.binary
        if self.quantiles is not None:
            self.quantiles.merge(other.quantiles)


Gatherer: TypeAlias = Words | Texts | Numbers
