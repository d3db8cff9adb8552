"""`faiss`: an index in memory, saved now and then."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from easyrec.errors import RunError, StoreError
from easyrec.retrieval.filters import Condition
from easyrec.retrieval.indexes import build
from feature_generator.config import Choice, member
from rag.stores import Known, StoreConfig, VectorStore
from rag.stores._groups import Groups
from rag.stores._shared import Shared
from rag.stores._terms import Terms

if TYPE_CHECKING:
    from easyrec.retrieval.indexes import Index

FAMILY = "easyrec.retrieval.indexes"
GROUP = "group"
ABOUT = b"easyrec"
"""Where an index's attributes say of which change it is, and to which groups it belongs."""
MASKS = 64
"""Filters whose result is remembered until something changes."""
EACH = 40
"""Vectors that a centre is learned from."""
LEAST = 96
"""Lists that a search looks at, at least."""
TOGETHER = 32_768
"""Vectors that move from one index to another at a time."""


class Config(StoreConfig):
    """Config of `faiss`."""

    type: Literal["faiss"] = "faiss"
    index: Annotated[Any, Choice(FAMILY)] | None = None
    """How it searches: `flat` compares all, `ivf_sq`, `hnsw` and the others look at some; see the page on matching.
    Default: `flat` for as many vectors as `exact` says, beyond them `ivf_sq` with as many lists as suit their number."""
    exact: int = Field(50_000, ge=4096, le=10_000_000)
    """Vectors up to which all are compared, where `index` does not say how it searches."""
    effort: float = Field(0.0625, gt=0.0, le=1.0)
    """Share of the lists that a search looks at, where `index` does not say how it searches: more finds more, slower."""
    save_at: float = Field(0.1, gt=0.0, le=1.0)
    """Share of vectors that were changed since it was saved, beyond which it is saved again."""

    def open(self, folder: Path, name: str) -> VectorStore:
        """The index of a folder."""
        return Faiss(self, folder)


class Faiss(VectorStore):
    """An index, and of which change it was saved."""

    def __init__(self, config: Config, folder: Path) -> None:
        self._folder, self._config = folder, config
        self._lock = Shared()
        self._index: Index | None = None
        self._saved, self._changed, self._now = 0, 0, 0
        self._groups = Groups()
        self._masks: dict[Terms, np.ndarray] = {}
        self._load()

    def _load(self) -> None:
        """What was saved, if it is whole and of the same kind; else what it holds is told anew."""
        from easyrec.retrieval.indexes._index import Index  # noqa: PLC0415 (it loads FAISS)

        for _ in range(3):
            try:
                index = Index.load(self._folder / "index")
                if index.config == self._config.index if self._config.index is not None else self._is_chosen(index):
                    self._take(index)
                return
            except FileNotFoundError:  # noqa: PERF203 (a newer one took its place meanwhile)
                continue
            except (OSError, ValueError, KeyError, TypeError, RunError):
                return

    def _take(self, index: Index) -> None:
        """Go on with an index that was saved."""
        if index.attributes is None:
            return
        about = json.loads((index.attributes.table.schema.metadata or {})[ABOUT])
        groups, change = Groups.load(self._folder, about["groups"]), int(about["change"])
        if _groups_of(index).max(initial=-1) < len(groups):
            self._index, self._groups, self._saved, self._now = index, groups, change, change

    def _is_chosen(self, index: Index) -> bool:
        """Whether an index is what would be chosen for so many vectors, or for a few more or less."""
        lists = getattr(index.config, "lists", 0)
        wanted = self._lists_config(lists) if lists else _flat()
        index.config = index.config.model_copy(update={"probes": wanted.probes} if lists else {})
        return bool(index.config == wanted)

    def _lists_config(self, lists: int) -> Any:
        """Lists of which a search looks at some."""
        probes = max(math.ceil(lists * self._config.effort), min(lists, LEAST))
        return member(FAMILY, "ivf_sq").Config(lists=lists, probes=probes)

    def add(self, numbers: np.ndarray, vectors: np.ndarray, facts: Sequence[Known]) -> None:
        """Add vectors."""
        if not len(numbers):
            return
        with self._lock.writing():
            groups = self._groups.of(facts)
            if self._index is None:
                self._index = build(self._config.index or _flat(), vectors.shape[1])
            try:
                self._index.add(numbers, vectors, pa.table({GROUP: groups}))
            except ValueError as error:
                raise StoreError(f"{self._folder}: {error}") from None
            self._changed += len(numbers)
            self._masks.clear()
        if self._config.index is None:
            self._suit()

    def _suit(self) -> None:
        """Choose an index for as many vectors as there are now. It is made beside the old one, which answers meanwhile."""
        assert self._index is not None
        if len(self._index) <= self._config.exact:
            return
        lists = _lists_for(len(self._index))
        if getattr(self._index.config, "lists", 0) >= lists:
            return
        made = _moved(self._index, self._lists_config(lists))
        with self._lock.writing():
            self._index = made
            self._changed = len(made)
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
        if self._index is not None and self._changed > self._config.save_at * max(len(self._index), 1):
            self._save()

    def _save(self) -> None:
        with self._lock.reading():  # it is one that changes it who saves it: others may search meanwhile
            if self._index is None:
                return
            name = ""
            try:
                if (known := self._index.attributes) is not None:
                    self._groups.forget(_groups_of(self._index)[self._index.alive])
                    name = self._groups.save(self._folder)
                    about = json.dumps({"change": self._now, "groups": name})
                    known.table = known.table.replace_schema_metadata({ABOUT: about})
                self._index.save(self._folder / "index")
                self._groups.tidy(self._folder, name)
            except (OSError, RunError) as error:
                raise StoreError(str(error)) from None
            self._saved, self._changed = self._now, 0

    def told(self) -> int:
        """The change that it is at."""
        return self._now

    def search(self, vector: np.ndarray, k: int, conditions: Sequence[Condition] = ()) -> tuple[np.ndarray, np.ndarray]:
        """The nearest of those that pass."""
        with self._lock.reading():
            if self._index is None or not len(self._index.ids) or k < 1:  # all may have been taken away
                return np.empty(0, np.int64), np.empty(0, np.float32)
            where = self._where(Terms.of(conditions)) if conditions else None
            try:
                numbers, scores = self._index.search(vector[None], min(k, len(self._index.ids)), where=where)
            except ValueError as error:
                raise StoreError(f"{self._folder}: {error}") from None
        found = numbers[0] >= 0
        return numbers[0][found], scores[0][found]

    def _where(self, asked: Terms) -> np.ndarray:
        """(n,) bool by place: what passes."""
        mask = self._masks.get(asked)
        if mask is None:
            assert self._index is not None
            mask = self._groups.passing(asked)[_groups_of(self._index)]
            if len(self._masks) >= MASKS:
                self._masks = {}
            self._masks[asked] = mask
        return mask

    def __len__(self) -> int:
        return 0 if self._index is None else len(self._index)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock.writing():
            self._index, self._now, self._changed = None, 0, 0
            self._groups = Groups()
            self._masks.clear()

    def close(self) -> None:
        """Save what has changed."""
        if self._now != self._saved:
            self._save()


def _groups_of(index: Index) -> np.ndarray:
    """(n,) int64 by place: the group of each vector."""
    found: np.ndarray = index.attributes.table.column(GROUP).to_numpy() if index.attributes else np.empty(0, np.int64)
    return found


def _flat() -> Any:
    return member(FAMILY, "flat").Config()


def _lists_for(count: int) -> int:
    """About four times the square root, so that it changes when there are four times as many vectors; of few vectors fewer."""
    return int(2 ** round(math.log2(min(4.0 * math.sqrt(count), count / (1.5 * EACH)))))


def _moved(index: Index, config: Any) -> Index:
    """The vectors of an index in another one."""
    places = np.flatnonzero(index.alive)
    made = build(config, index.dim)
    drawn = np.random.default_rng(0).choice(places, min(config.lists * EACH, len(places)), replace=False)
    made.train(index.inside.reconstruct_batch(np.sort(drawn)))
    known = index.attributes
    for start in range(0, len(places), TOGETHER):
        some = places[start : start + TOGETHER]
        attributes = None if known is None else known.taken(some).table
        made.add(index.ids[some], index.inside.reconstruct_batch(some), attributes)
    return made
