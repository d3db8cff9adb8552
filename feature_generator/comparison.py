"""What changes between two generators: features that come and go, configs, and values on real rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from feature_generator.ahead import ahead
from feature_generator.columns import Array, Column, Ragged
from feature_generator.explain import values_of
from feature_generator.feed import Block, Feed
from feature_generator.generator import FeatureGenerator
from feature_generator.offline import raw_columns
from feature_generator.origin import features_by_name
from feature_generator.saved import description
from feature_generator.sinks import OutputSpec


@dataclass(frozen=True)
class Example:
    """A row on which a feature differs: its number in the data, and the values of both generators."""

    row: int
    old: Sequence[Any]
    new: Sequence[Any]


@dataclass
class Difference:
    """How the values of one output differ.

    Attributes:
        rows: Rows on which they do.
        largest: Largest absolute difference between two numbers or weights of rows of the same shape; None for ids.
        kinds: What each generator makes of it where that is not the same, e.g. `sparse` and `dense of 2`; then every
            row differs.
        examples: The first rows.
    """

    rows: int = 0
    largest: float | None = None
    kinds: tuple[str, str] | None = None
    examples: list[Example] = field(default_factory=list)


@dataclass
class Comparison:
    """What changes from the old generator to the new one.

    Attributes:
        added: Features that only the new one has, intermediates among them.
        removed: Features that only the old one has.
        changed: By feature, the keys of its config that differ: (key, old, new), None where it is not given.
        hashes: The hash of each, where they differ.
        rows: Rows that were compared.
        differences: Outputs of both whose values differ somewhere.
        same: Outputs of both whose values are the same on all rows.
    """

    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    changed: dict[str, list[tuple[str, Any, Any]]] = field(default_factory=dict)
    hashes: tuple[str, str] | None = None
    rows: int = 0
    differences: dict[str, Difference] = field(default_factory=dict)
    same: list[str] = field(default_factory=list)

    @property
    def any(self) -> bool:
        """Whether anything changes that a model would notice: features or values."""
        return bool(self.added or self.removed or self.differences)


def compare(
    old: FeatureGenerator,
    new: FeatureGenerator,
    feed: Feed | None = None,
    *,
    most_rows: int | None = None,
    examples: int = 3,
    threads: int = 1,
) -> Comparison:
    """Compare configs, and values on the rows of a feed. A bad value is its default on both sides.

    Args:
        old: In `raw` mode.
        new: The same.
        feed: Rows; None compares the configs alone.
        most_rows: Rows to compare; None: all.
        examples: Rows shown per feature.
        threads: Threads to compute on.

    Raises:
        DataError: A column that one of them reads is missing.
    """
    found = _configs(old, new)
    if feed is None:
        return found
    common = [name for name in old.outputs if name in new.outputs]
    for name in common:
        kinds = _kind(old.outputs[name]), _kind(new.outputs[name])
        if kinds[0] != kinds[1]:
            found.differences[name] = Difference(kinds=kinds)
    columns = list(dict.fromkeys([*raw_columns(old, feed.schema), *raw_columns(new, feed.schema)]))
    with closing(ahead(feed.blocks(columns), 1)) as blocks:
        for block in _first(blocks, most_rows):
            tables = [g.transform(block.batch, threads=threads, bad_rows="default") for g in (old, new)]
            for name in common:
                _compare(name, tables[0][name], tables[1][name], found, examples)
            found.rows += block.batch.num_rows
    found.same = [name for name in common if name not in found.differences]
    return found


def _first(blocks: Iterator[Block], most: int | None) -> Iterator[Block]:
    left = most
    for block in blocks:
        if left is None:
            yield block
            continue
        yield Block(block.batch.slice(0, left), block.locate, block.done)
        left -= min(left, block.batch.num_rows)
        if not left:
            return


def _configs(old: FeatureGenerator, new: FeatureGenerator) -> Comparison:
    before, after = description(old), description(new)
    first, second = features_by_name(before["features"]), features_by_name(after["features"])
    found = Comparison(
        added=[name for name in second if name not in first], removed=[name for name in first if name not in second]
    )
    if before["hash"] != after["hash"]:
        found.hashes = before["hash"], after["hash"]
    for name in first:
        if name in second:
            a, b = first[name], second[name]
            keys = [(k, a.get(k), b.get(k)) for k in dict.fromkeys([*a, *b]) if a.get(k) != b.get(k)]
            if keys:
                found.changed[name] = keys
    return found


def _kind(spec: OutputSpec) -> str:
    weighted = "weighted " if spec.weighted else ""
    width = f" of {spec.value_dim}" if spec.kind.startswith("dense") else ""
    return f"{weighted}{spec.kind.replace('_', ' ')}{width}"


# --------------------------------------------------------------------------------------------------- values


def _compare(name: str, old: Column | Ragged, new: Column | Ragged, found: Comparison, examples: int) -> None:
    """Add what differs in one block to what is known."""
    known = found.differences.get(name)
    if known is not None and known.kinds is not None:
        rows, largest = np.arange(_rows(old)), None
    elif isinstance(old, Column) and isinstance(new, Column):
        apart = np.abs(old.values.astype(np.float64) - new.values)
        rows = np.flatnonzero((apart > 0).any(axis=1))
        largest = float(apart.max(initial=0.0)) if len(rows) else None
    else:
        assert isinstance(old, Ragged)
        assert isinstance(new, Ragged)
        rows, largest = differing_rows(old, new)
    if not len(rows):
        return
    known = found.differences.setdefault(name, Difference())
    known.rows += len(rows)
    if largest is not None:
        known.largest = max(known.largest or 0.0, largest)
    for row in rows[: examples - len(known.examples)].tolist():
        known.examples.append(Example(found.rows + row, values_of(old, row), values_of(new, row)))


def _rows(column: Column | Ragged) -> int:
    return len(column.values) if isinstance(column, Column) else len(column.lengths)


def differing_rows(old: Ragged, new: Ragged) -> tuple[Array, float | None]:
    """Rows on which two columns of the same kind differ, and the largest difference of numbers among equal shapes.

    First rows of other lengths are set apart, then those with elements of other lengths; what remains lies value
    beside value.
    """
    other, rows = _split(old.lengths != new.lengths, np.arange(len(old.lengths)))
    different = [other]
    old, new = old.take(rows), new.take(rows)
    if old.key_offsets is not None or new.key_offsets is not None:
        mask = _any(old.key_lengths != new.key_lengths, _ends(old.lengths))
        other, kept = _split(mask, rows)
        different.append(other)
        old, new, rows = old.take(np.flatnonzero(~mask)), new.take(np.flatnonzero(~mask)), kept
    ends = _ends(old.lengths)
    if old.key_offsets is not None or new.key_offsets is not None:
        ends = _ends(old.key_lengths)[ends]
    apart = old.values != new.values
    largest: float | None = None
    if apart.ndim == 2:
        gap = np.abs(old.values.astype(np.float64) - new.values)
        apart, largest = apart.any(axis=1), float(gap.max(initial=0.0))
    if old.weights is not None and new.weights is not None:
        gap = np.abs(old.weights.astype(np.float64) - new.weights)
        largest = float(np.where(apart, 0.0, gap).max(initial=0.0))
        apart = apart | (gap > 0)
    different.append(rows[_any(apart, ends)])
    found = np.sort(np.concatenate(different))
    return found, largest if len(found) and largest else None


def _split(mask: Array, rows: Array) -> tuple[Array, Array]:
    return rows[mask], rows[~mask]


def _any(mask: Array, ends: Array) -> Array:
    """(rows,) bool: whether any of the items `ends[r] .. ends[r + 1]` of each row is true."""
    before = _ends(mask.astype(np.int64))
    return before[ends[1:]] > before[ends[:-1]]


def _ends(lengths: Array) -> Array:
    ends = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=ends[1:])
    return ends
