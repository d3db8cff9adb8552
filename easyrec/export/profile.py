"""What a model saw when it was made, as histograms of its scores and features: `profile.json` of a bundle. And how far others differ.

Rows are those that the model was evaluated on, where there are such. Bounded: at most `MOST` histograms. Knows no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import Field, ValidationError

from easyrec.errors import BundleError
from easyrec.export.bundle import Bundle
from easyrec.export.strict_json import dump, read_json
from easyrec.histograms import count_numbers, edges_of
from feature_generator import OutputSpec, Table
from feature_generator.columns import Column, Ragged
from feature_generator.config import StrictModel
from feature_generator.discretizer import IdConfig

FILE = "profile.json"
CODES = 32
"""Outputs with at most so many ids are counted id by id."""
MOST = 1000
ROWS = 10_000
"""Rows that are looked at."""

CLASSES = 198
"""Tasks of more classes have no histogram of them."""

Kind = Literal["numbers", "codes", "ids", "lengths", "norms", "largest", "classes"]


class Histogram(StrictModel):
    """How often values of a score or feature lie in each bin.

    Attributes:
        what: `score` of a task, `class` that it says is the most probable, or `feature`.
        name: Of the task, the feature, or the sequence.
        kind: `numbers` by `edges`, then those that are not finite; `codes`, few ids one by one, then rows without any; `ids`:
            rows whose value is missing, unknown, known; by `edges` also `lengths` of a sequence, `norms` of vectors, and the
            `largest` of a row's probabilities; `classes` one by one, then rows that are not finite.
        side: `user`: counted once a request; `item`: once a candidate.
        edges: Ascending; a value on an edge lies above it.
        missing: The id of a row that has no value, where the feature gives it one.
        unknown: The id of a value outside of the vocabulary.
        counts: Rows by bin.
    """

    what: Literal["score", "class", "feature"]
    name: str
    kind: Kind
    side: Literal["user", "item"] = "item"
    edges: list[float] = Field([], max_length=100)
    missing: int | None = None
    unknown: int | None = None
    counts: list[int] = Field(max_length=200)

    def count(self, column: Column | Ragged | np.ndarray) -> np.ndarray:
        """(bins,) int64, rows of a column in each bin; of `codes`, values."""
        if self.kind == "codes":
            assert isinstance(column, Ragged)
            size = len(self.counts)
            found = np.bincount(np.clip(column.values, 0, size - 2), minlength=size)
            found[-1] = np.count_nonzero(column.lengths == 0)
            return found
        if self.kind == "ids":
            assert isinstance(column, Ragged)
            return _ids(column, self.missing, self.unknown)
        if self.kind == "classes":
            assert isinstance(column, np.ndarray)
            return _classes(column, len(self.counts) - 1)
        return count_numbers(self.numbers(column), self.edges)

    def numbers(self, column: Column | Ragged | np.ndarray) -> np.ndarray:
        """(rows,) float32 of a column, which lie in the bins between the edges."""
        if isinstance(column, Ragged):
            return column.lengths.astype(np.float32)
        values = np.asarray(column.values if isinstance(column, Column) else column, np.float32)
        found: np.ndarray = values.reshape(-1)
        if self.kind == "norms":
            found = np.linalg.norm(values, axis=1)
        elif self.kind == "largest":
            found = values.max(axis=1)
        return found


class Profile(StrictModel):
    """`profile.json`."""

    format: Literal[1] = 1
    rows: int = Field(ge=0)
    histograms: list[Histogram] = Field(max_length=MOST)

    @staticmethod
    def of(bundle: Bundle) -> Profile | None:
        """That of a bundle; None where it has none.

        Raises:
            BundleError: It is damaged.
        """
        if FILE not in bundle.manifest.files:
            return None
        path = bundle.file(FILE)
        try:
            return Profile.model_validate(read_json(path))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise BundleError(f"{path}: {where}: {first['msg']}") from None

    def text(self) -> bytes:
        """It as JSON."""
        return dump(self.model_dump(mode="json", exclude_defaults=True))


class ProfileBuilder:
    """Collects rows.

    Args:
        outputs: What the generator puts out.
        empty: The features of a row without any value; None: not known.
    """

    def __init__(self, outputs: Mapping[str, OutputSpec], empty: Table | None) -> None:
        self._plain: dict[str, Histogram] = {}
        self._sorted: dict[str, Histogram] = {}
        for name, spec in outputs.items():
            if len(self._plain) + len(self._sorted) >= MOST - 100:  # the rest is for scores
                break
            one = _of_output(name, spec, empty)
            (self._plain if one.kind in ("codes", "ids") else self._sorted)[name] = one
        self._values: dict[str, list[np.ndarray]] = {name: [] for name in self._sorted}
        self._counts = {name: np.zeros(len(one.counts), np.int64) for name, one in self._plain.items()}
        self._scores: dict[str, tuple[Histogram, list[np.ndarray]]] = {}
        self._classes: dict[str, np.ndarray] = {}
        self.rows = 0

    def add(self, table: Table, scores: Mapping[str, np.ndarray]) -> None:
        """Take rows in, as far as there is room.

        Args:
            table: Their features.
            scores: Their scores by task.
        """
        size = min(table.num_rows, ROWS - self.rows)
        table = table.slice(0, size)
        for name, one in self._plain.items():
            self._counts[name] += one.count(table[name])
        for name, one in self._sorted.items():
            self._values[name].append(one.numbers(table[name]).copy())
        for task, values in scores.items():
            kind: Kind = "numbers" if values.ndim == 1 else "largest"
            one, kept = self._scores.setdefault(task, (Histogram(what="score", name=task, kind=kind, counts=[]), []))
            kept.append(one.numbers(values[:size]))
            if values.ndim == 2 and values.shape[1] <= CLASSES:
                self._classes[task] = self._classes.get(task, 0) + _classes(values[:size], values.shape[1])
        self.rows += size

    @property
    def full(self) -> bool:
        """Whether no more rows are taken."""
        return self.rows >= ROWS

    def build(self) -> Profile:
        """The histograms."""
        found = [_filled(one, parts) for one, parts in list(self._scores.values())[:50]]
        found += [
            Histogram(what="class", name=task, kind="classes", counts=counts.tolist())
            for task, counts in list(self._classes.items())[:50]
        ]
        found += [_filled(one, self._values[name]) for name, one in self._sorted.items()]
        found += [one.model_copy(update={"counts": self._counts[name].tolist()}) for name, one in self._plain.items()]
        return Profile(rows=self.rows, histograms=found)


def _of_output(name: str, spec: OutputSpec, empty: Table | None) -> Histogram:
    """The empty histogram of an output."""
    told: dict[str, Any] = {"what": "feature", "name": name, "side": "item" if spec.side == "item" else "user"}
    if spec.kind == "dense":
        return Histogram(kind="numbers" if spec.value_dim == 1 else "norms", counts=[], **told)
    if spec.kind != "sparse":
        return Histogram(kind="lengths", counts=[], **told)
    if spec.num_embeddings is not None and spec.num_embeddings <= CODES:
        return Histogram(kind="codes", counts=[0] * (spec.num_embeddings + 1), **told)
    missing = empty.ragged(name).values if empty is not None else np.zeros(0, np.int64)
    config, unknown = spec.config, None
    if isinstance(config, IdConfig) and config.vocabulary_key:
        unknown = 1 if config.default_bucketize_value is None else config.default_bucketize_value
    told |= {"missing": int(missing[0]) if len(missing) == 1 else None, "unknown": unknown}
    return Histogram(kind="ids", counts=[0, 0, 0], **told)


def _filled(one: Histogram, parts: list[np.ndarray]) -> Histogram:
    values = np.concatenate([np.zeros(0, np.float32), *parts])
    edges = edges_of(values)
    return one.model_copy(update={"edges": edges, "counts": count_numbers(values, edges).tolist()})


def top_classes(values: np.ndarray) -> np.ndarray:
    """(rows,) which of (rows, classes) probabilities is the largest; -1 where one is not finite."""
    return np.where(np.isfinite(values).all(axis=1), values.argmax(axis=1), -1)


def _classes(values: np.ndarray, size: int) -> np.ndarray:
    """Rows by their top class, and those that are not finite."""
    found = top_classes(values)
    return np.bincount(np.where(found < 0, size, found), minlength=size + 1)


def _ids(column: Ragged, missing: int | None, unknown: int | None) -> np.ndarray:
    """Rows whose value is missing, unknown, known."""
    lengths = column.lengths
    rows = len(lengths)
    of_value = np.repeat(np.arange(rows), lengths)
    absent = lengths == 0
    if missing is not None:
        absent |= (lengths == 1) & (np.bincount(of_value[column.values == missing], minlength=rows) == 1)
    strange = np.zeros(rows, bool)
    if unknown is not None:
        strange = (np.bincount(of_value[column.values == unknown], minlength=rows) > 0) & ~absent
    return np.array([np.count_nonzero(absent), np.count_nonzero(strange), rows - np.count_nonzero(absent | strange)])
