"""`faiss`: an index in memory, saved now and then."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from easyrec.durable import write_text
from easyrec.errors import RunError, StoreError
from easyrec.retrieval.filters import AnyOf, Condition, NoneOf
from easyrec.retrieval.indexes import build
from easyrec.retrieval.keyword.terms import range_terms, term_of, terms_of
from feature_generator.config import Choice, member
from rag.stores import Known, StoreConfig, VectorStore
from rag.stores._shared import Shared

if TYPE_CHECKING:
    from easyrec.retrieval.indexes import Index

TERMS = "terms"
MASKS = 64
"""Filters whose result is remembered until something changes."""


class Config(StoreConfig):
    """Config of `faiss`."""

    type: Literal["faiss"] = "faiss"
    index: Annotated[Any, Choice("easyrec.retrieval.indexes", "flat")] = {"type": "flat"}
    """How it searches: `flat` compares all, `hnsw` and the others look at some; see the page on matching."""
    save_at: float = Field(0.1, gt=0.0, le=1.0)
    """Share of vectors that were changed since it was saved, beyond which it is saved again."""

    def open(self, folder: Path, name: str) -> VectorStore:
        """The index of a folder."""
        return Faiss(self, folder)


class Faiss(VectorStore):
    """An index, and of which change it was saved."""

    def __init__(self, config: Config, folder: Path) -> None:
        self._folder, self._save_at = folder, config.save_at
        given = config.index
        self._config = member("easyrec.retrieval.indexes", "flat").Config() if isinstance(given, dict) else given
        self._lock = Shared()
        self._index: Index | None = None
        self._saved, self._changed, self._now = 0, 0, 0
        self._masks: dict[tuple[Condition, ...], np.ndarray] = {}
        self._load()

    def _load(self) -> None:
        """What was saved, if it is whole and of the same kind; else what it holds is told anew."""
        from easyrec.retrieval.indexes._index import Index  # noqa: PLC0415 (it loads FAISS)

        try:
            about = json.loads((self._folder / "told.json").read_text(encoding="utf-8"))
            index = Index.load(self._folder / "index")
            if index.config == self._config and isinstance(about["change"], int):
                self._index, self._saved, self._now = index, about["change"], about["change"]
        except (OSError, ValueError, KeyError, TypeError, RunError):
            self._index = None

    def add(self, numbers: np.ndarray, vectors: np.ndarray, facts: Sequence[Known]) -> None:
        """Add vectors."""
        if not len(numbers):
            return
        terms = pa.array([terms_of(known) for known in facts], pa.list_(pa.string()))
        with self._lock.writing():
            if self._index is None:
                self._index = build(self._config, vectors.shape[1])
            try:
                self._index.add(numbers, vectors, pa.table({TERMS: terms}))
            except ValueError as error:
                raise StoreError(f"{self._folder}: {error}") from None
            self._changed += len(numbers)
            self._masks.clear()

    def remove(self, numbers: np.ndarray) -> None:
        """Take vectors away."""
        with self._lock.writing():
            if self._index is not None:
                self._changed += self._index.delete(numbers)
                self._masks.clear()

    def commit(self, change: int) -> None:
        """Save it, where much has changed."""
        self._now = change
        if self._index is not None and self._changed > self._save_at * max(len(self._index), 1):
            self._save()

    def _save(self) -> None:
        with self._lock.writing():
            if self._index is None:
                return
            try:
                self._index.save(self._folder / "index")
                write_text(self._folder / "told.json", json.dumps({"change": self._now}))
            except RunError as error:
                raise StoreError(str(error)) from None
            self._saved, self._changed = self._now, 0

    def told(self) -> int:
        """The change that it is at."""
        return self._now

    def search(self, vector: np.ndarray, k: int, conditions: Sequence[Condition] = ()) -> tuple[np.ndarray, np.ndarray]:
        """The nearest of those that pass."""
        with self._lock.reading():
            if self._index is None or k < 1:
                return np.empty(0, np.int64), np.empty(0, np.float32)
            where = self._where(tuple(conditions)) if conditions else None
            numbers, scores = self._index.search(vector[None], k, where=where)
        found = numbers[0] >= 0
        return numbers[0][found], scores[0][found]

    def _where(self, conditions: tuple[Condition, ...]) -> np.ndarray:
        """(n,) bool by place: what passes."""
        mask = self._masks.get(conditions)
        if mask is None:
            mask = np.logical_and.reduce([self._holding(each) for each in conditions])
            if len(self._masks) >= MASKS:
                self._masks = {}
            self._masks[conditions] = mask
        return mask

    def _holding(self, condition: Condition) -> np.ndarray:
        assert self._index is not None
        assert self._index.attributes is not None
        if isinstance(condition, AnyOf | NoneOf):
            terms = [term_of(condition.name, value) for value in condition.values]
        else:
            terms = range_terms(condition)
        found = self._index.attributes.allowed({TERMS: terms}, len(self._index.ids))
        return ~found if isinstance(condition, NoneOf) else found

    def __len__(self) -> int:
        return 0 if self._index is None else len(self._index)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock.writing():
            self._index, self._now, self._changed = None, 0, 0
            self._masks.clear()

    def close(self) -> None:
        """Save what has changed."""
        if self._now != self._saved:
            self._save()
