"""From what was gathered to keys of a feature: a vocabulary's file, edges, a normalizer, counts of texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_generator.discretizer import OOV
from feature_generator.errors import DataError
from feature_generator.fitting.gathering import Gatherer, Numbers, Texts, Words
from feature_generator.fitting.moments import Moments
from feature_generator.fitting.subject import Subject
from feature_generator.fitting.tree_boundaries import tree_boundaries
from feature_generator.numeric import read_normalizer

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Outcome:
    """What a feature has learned.

    Attributes:
        keys: Keys of the feature with what was learned.
        files: Content of files, by the key that is to name them.
        told: The same for people: `what` was learned, its `size` if it has one, `coverage` (share of the values that are in the
            vocabulary; None elsewhere), `elements` seen, share of them that were `missing`, `note`.
    """

    keys: Mapping[str, Any]
    files: Mapping[str, bytes] = field(default_factory=dict)
    told: Mapping[str, Any] = field(default_factory=dict)


def outcome(subject: Subject, gathered: Gatherer) -> Outcome:
    """What `subject` learns from its values.

    Raises:
        DataError: There is nothing to learn from.
    """
    seen = gathered.seen
    if not seen.values:
        text = f"has no value in any of {seen.elements:,} rows or elements: there is nothing to learn"
        raise DataError(text, column=subject.name)
    if isinstance(gathered, Words):
        made = _vocabulary(subject, gathered)
    elif isinstance(gathered, Texts):
        made = _texts(subject, gathered)
    else:
        made = _numbers(subject, gathered)
    told = {"coverage": None, "note": ""} | dict(made.told)
    told |= {"elements": seen.elements, "missing": seen.missing / max(1, seen.elements)}
    return Outcome(made.keys, made.files, told)


def _vocabulary(subject: Subject, gathered: Words) -> Outcome:
    """Ids as those of a `vocab_list`: 0 the default, 1 unknown words, then the words by falling count."""
    fit = subject.fit.vocabulary
    assert fit is not None
    table, dropped = _writable(gathered.counts.top(fit.min_count, fit.top_k))
    if not table.num_rows:
        most = gathered.counts.top(1, 1)
        text = f"no word is seen {fit.min_count:,} times; the most frequent one is seen {most['count'][0]} times"
        raise DataError(text, column=subject.name)
    words = table["word"].to_pylist()
    ids = {word: number for number, word in enumerate(words, 2)}
    default = subject.node.raw_default
    head = ({default: 0} if default and "\n" not in default else {}) | {OOV: 1}
    lines = "".join(f"{word}\t{number}\n" for word, number in (head | ids).items())
    kept = int(pc.sum(table["count"]).as_py())
    told = {"what": "vocabulary", "size": len(words), "coverage": kept / gathered.seen.values, "note": dropped}
    return Outcome({"default_bucketize_value": 1}, {"vocab_file": _file(lines)}, told)


def _texts(subject: Subject, gathered: Texts) -> Outcome:
    fit = subject.fit.doc_freq
    statistics = gathered.statistics
    min_count, top_k = (1, None) if fit is None else (fit.min_count, fit.top_k)
    table, dropped = _writable(statistics.words.top(min_count, top_k))
    if not table.num_rows:
        text = f"no word is in {min_count:,} of the {statistics.doc_count:,} texts"
        raise DataError(text, column=subject.name)
    pairs = zip(table["word"].to_pylist(), table["count"].to_pylist(), strict=True)
    lines = "".join(f"{word}\t{count}\n" for word, count in pairs)
    keys = {"avg_length": statistics.avg_length, "doc_count": statistics.doc_count}
    note = ", ".join(n for n in (f"{statistics.doc_count:,} texts of {statistics.avg_length:.4g} words", dropped) if n)
    return Outcome(keys, {"doc_freq_file": _file(lines)}, {"what": "doc_freq", "size": table.num_rows, "note": note})


def _writable(table: pa.Table) -> tuple[pa.Table, str]:
    """The words that a line of a file can hold, and what is to be said of the others."""
    table, unreadable = _readable(table)
    broken = pc.match_substring(table["word"], "\n")
    number = int(pc.sum(broken).as_py() or 0) + unreadable
    note = f"left out {number:,} words with line breaks or bytes that are no text" if number else ""
    return (table.filter(pc.invert(broken)), note) if number else (table, "")


def _readable(table: pa.Table) -> tuple[pa.Table, int]:
    """The words that are UTF-8, and how many are not: columns of bytes may hold anything."""
    try:
        table["word"].validate(full=True)
    except pa.ArrowInvalid:
        good = pa.array([_is_text(word) for word in table["word"].cast(pa.large_binary()).to_pylist()])
        return table.filter(good), len(table) - int(pc.sum(good).as_py())
    return table, 0


def _is_text(word: bytes) -> bool:
    try:
        word.decode()
    except UnicodeDecodeError:
        return False
    return True


def _file(lines: str) -> bytes:
    """As bytes; a byte order mark that belongs to the first word must not be taken for one of the file."""
    return ("\ufeff" if lines.startswith("\ufeff") else "").encode() + lines.encode()


def _numbers(subject: Subject, gathered: Numbers) -> Outcome:
    keys: dict[str, Any] = {}
    what: list[str] = []
    notes: list[str] = []
    size = None
    moments = gathered.moments
    if not moments.count:
        raise DataError("its normalizer makes no number of any value: there is nothing to learn", column=subject.name)
    if subject.fit.normalizer is not None:
        keys["normalizer"] = _normalizer(subject.fit.normalizer, moments)
        what.append(subject.fit.normalizer)
        if moments.std == 0:
            notes.append("all values are the same")
    if subject.fit.boundaries is not None:
        edges, note = _edges(subject, gathered)
        if "normalizer" in keys:
            rule = read_normalizer(keys["normalizer"])
            edges = (edges - rule["shift"]) / rule["scale"]
        keys["boundaries"] = _written(edges)
        what.append(f"{subject.fit.boundaries.method} boundaries")
        size = len(keys["boundaries"]) + 1
        notes += [note] if note else []
        if gathered.quantiles is not None and gathered.quantiles.error:
            notes.append(f"ranks to within {gathered.quantiles.error / gathered.quantiles.count:.2%}")
    shown = f"{moments.min:.4g} .. {moments.max:.4g}, mean {moments.mean:.4g}, std {moments.std:.4g}"
    return Outcome(keys, {}, {"what": ", ".join(what), "size": size, "note": "; ".join([shown, *notes])})


def _normalizer(method: str, moments: Moments) -> str:
    """The key's text; values that are all the same become 0."""
    if method == "zscore":
        return f"method=zscore,mean={moments.mean!r},standard_deviation={moments.std or 1.0!r}"
    top = moments.max if moments.max > moments.min else moments.min + max(1.0, abs(moments.min))
    return f"method=minmax,min={moments.min!r},max={top!r}"


def _edges(subject: Subject, gathered: Numbers) -> tuple[Array, str]:
    """Edges between the least and the largest value, and what is to be said of them."""
    fit, moments, quantiles = subject.fit.boundaries, gathered.moments, gathered.quantiles
    assert fit is not None
    note = ""
    if fit.method == "uniform":
        edges = np.linspace(moments.min, moments.max, fit.buckets + 1)[1:-1]
    else:
        assert quantiles is not None
        if fit.method == "quantile":
            edges = quantiles.edges(fit.buckets)
        elif not quantiles.count:
            raise DataError("no row with a value has a label: there is nothing to learn", column=subject.name)
        else:
            edges = tree_boundaries(*quantiles.table(), fit.buckets, fit.min_rows, gathered.binary)
            if not len(edges):
                edges, note = quantiles.edges(2), "no split tells the label apart: halves"
    edges = edges[edges > moments.min]
    return (edges, note) if len(edges) else (np.array([moments.min]), "all values are the same")


def _written(edges: Array) -> list[float]:
    """Edges as float32 tells them apart, in its shortest decimals."""
    return [float(str(edge)) for edge in np.unique(edges.astype(np.float32))]
