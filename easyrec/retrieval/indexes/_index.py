"""The contract of indexes: vectors by id, added, replaced, deleted, searched, saved and loaded."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from easyrec.errors import ConfigError
from easyrec.retrieval.indexes import IndexConfig, _files
from easyrec.retrieval.indexes._attributes import Attributes
from easyrec.retrieval.indexes._faiss import faiss
from feature_generator.config import member

FEW = 16
"""Where fewer than one in so many vectors may be found, these are gathered and compared."""


class Index:
    """The nearest of N vectors.

    Vectors that are replaced or deleted stay inside, passed over, until `rebuild`; `wasted` tells how many.
    Any number of threads may search at a time; none while another adds or deletes.

    Args:
        config: The index's config.
        dim: D of the vectors.

    Attributes:
        ids: (n,) int64, by place: the id of each vector, those passed over included.
        alive: (n,) bool, by place: whether a vector counts.
        attributes: By place, what searches may filter by.
    """

    def __init__(self, config: Any, dim: int) -> None:
        self.config, self.dim = config, dim
        self.inside: Any = self.make(dim)
        self.ids, self.alive = np.zeros(0, np.int64), np.zeros(0, bool)
        self.attributes: Attributes | None = None
        self._places: tuple[np.ndarray, np.ndarray] | None = None

    # ----------------------------------------------------------------------------------- what an index defines

    def make(self, dim: int) -> Any:
        """What FAISS builds."""
        raise TypeError(f"{type(self).__name__} must define make")

    def comparing_all(self, chosen: Any) -> tuple[Any, Any]:
        """What FAISS searches, and its parameters, to compare a query with every chosen vector.

        Args:
            chosen: A selector of places, or None.
        """
        raise TypeError(f"{type(self).__name__} must define comparing_all")

    def keep(self, places: np.ndarray) -> None:
        """Leave nothing inside but the vectors of some ascending places, in their order."""
        raise TypeError(f"{type(self).__name__} must define keep")

    def gathers(self, allowed: int) -> bool:
        """Whether taking what may be found out, and comparing that, is cheaper than passing over the rest.

        Args:
            allowed: How many may be found.
        """
        return allowed * FEW < len(self.ids)

    def walks(self, allowed: int) -> bool:
        """Whether looking at some vectors is cheaper than comparing all that may be found.

        Args:
            allowed: How many may be found.
        """
        return False

    def parameters(self, chosen: Any, share: float) -> Any:
        """How it is asked, where it `walks`.

        Args:
            chosen: A selector of places, or None.
            share: Share of the vectors inside that may be found.
        """
        raise TypeError(f"{type(self).__name__} must define parameters")

    def efforts(self, k: int) -> list[int]:
        """Values of `config.effort` worth a try where k vectors are wanted, ascending; none where it is exact."""
        return []

    @property
    def bytes_each(self) -> int:
        """Memory of a vector, with all that is kept for it but its attributes."""
        return 4 * self.dim + self.ids.itemsize + self.alive.itemsize

    @property
    def least(self) -> int:
        """How many vectors it learns from at least."""
        return 0

    # ------------------------------------------------------------------------------------------ what it is

    def __len__(self) -> int:
        return int(np.count_nonzero(self.alive))

    @property
    def wasted(self) -> float:
        """Share of the vectors inside that are passed over."""
        return 1.0 - len(self) / len(self.ids) if len(self.ids) else 0.0

    @property
    def faiss_metric(self) -> int:
        """FAISS's name of the metric."""
        return int(faiss.METRIC_L2 if self.config.metric == "l2" else faiss.METRIC_INNER_PRODUCT)

    def asked(self, **settings: Any) -> Self:
        """The same index, searched with other settings than its config's.

        Args:
            settings: Keys of the config that only searches heed, such as `ef_search`.
        """
        found = copy.copy(self)
        found.config = type(self.config)(**{**self.config.model_dump(), **settings})
        return found

    # --------------------------------------------------------------------------------------------- changes

    def add(self, ids: np.ndarray, vectors: np.ndarray, attributes: Mapping[str, Any] | pa.Table | None = None) -> None:
        """Add vectors; an id that is there gets the new one. The first ones also train indexes that learn.

        Args:
            ids: (m,) int64, each once.
            vectors: (m, D) float32.
            attributes: m values of each attribute, integers, texts, booleans or lists of them; the same attributes at
                every call.

        Raises:
            ValueError: Ids repeat, shapes or attributes do not fit, or a number is not finite.
            ConfigError: They are too few to learn from.
        """
        ids, vectors = np.ascontiguousarray(ids, np.int64), self._checked(vectors)
        if ids.shape != (len(vectors),):
            raise ValueError(f"{len(vectors)} vectors need as many ids, but here are {ids.shape}")
        values, counts = np.unique(ids, return_counts=True)
        if len(values) != len(ids):
            raise ValueError(f"the id {values[counts > 1][0]} is there twice")
        if not len(ids):
            return
        given = Attributes.of(attributes, len(ids))
        known = given if self.attributes is None else self.attributes.joined(given)
        if not self.inside.is_trained:
            self.train(vectors)
        self._forget(ids)
        self.inside.add(vectors)
        self.ids = np.concatenate([self.ids, ids])
        self.alive = np.concatenate([self.alive, np.ones(len(ids), bool)])
        self.attributes, self._places = known, None
        self._tidy()

    def train(self, vectors: np.ndarray) -> None:
        """Let an index that learns see vectors; `add` does so with the first ones.

        Raises:
            ConfigError: They are fewer than the index has lists, or codes.
        """
        if len(vectors) < self.least:
            text = f"'{self.config.type}' learns from at least {self.least} vectors, but here are {len(vectors)}"
            raise ConfigError(f"{text}: set fewer 'lists', or take 'flat' or 'hnsw'")
        self.inside.train(self._checked(vectors))

    def delete(self, ids: np.ndarray) -> int:
        """Delete the vectors of these ids; gives how many there were."""
        count = self._forget(np.unique(np.asarray(ids, np.int64)))
        self._tidy()
        return count

    def rebuild(self) -> None:
        """Free the places of vectors that are passed over."""
        places = np.flatnonzero(self.alive)
        if len(places) == len(self.ids):
            return
        self.keep(places)
        self.ids, self.alive, self._places = self.ids[places], np.ones(len(places), bool), None
        self.attributes = None if self.attributes is None else self.attributes.taken(places)

    def _forget(self, ids: np.ndarray) -> int:
        places = self.find(ids)
        places = places[places >= 0]
        self.alive[places] = False
        self._places = None if len(places) else self._places
        return len(places)

    def _tidy(self) -> None:
        if self.wasted > self.config.rebuild_at:
            self.rebuild()

    def made_of(self, vectors: np.ndarray) -> Any:
        """What FAISS builds of these vectors, which are as they were inside."""
        found = self.make(self.dim)
        if len(vectors):
            found.add(vectors)
        return found

    def find(self, ids: np.ndarray) -> np.ndarray:
        """(m,) int64, the places of these ids, -1 where there is none."""
        if self._places is None:
            places = np.flatnonzero(self.alive)
            order = np.argsort(self.ids[places], kind="stable")
            self._places = self.ids[places][order], places[order]
        known, places = self._places
        ids = np.asarray(ids, np.int64)
        if not len(known):
            return np.full(len(ids), -1)
        at = np.minimum(np.searchsorted(known, ids), len(known) - 1)
        return np.where(known[at] == ids, places[at], -1)

    # ---------------------------------------------------------------------------------------------- search

    def search(
        self,
        queries: np.ndarray,
        k: int,
        only: np.ndarray | None = None,
        without: np.ndarray | None = None,
        filter: Mapping[str, Any] | None = None,
        where: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The nearest vectors of each query. All k are found where so many may be.

        Args:
            queries: (B, D) float32.
            k: How many are wanted.
            only: Ids that may be found; None: all.
            without: Ids that are not found.
            filter: Values of attributes; found is what has, or holds, one of them in each of these attributes.
            where: (n,) bool by place: what may be found.

        Returns:
            (B, k) int64 ids, the nearest first, -1 behind the last where there are fewer; and (B, k) float32: inner
            products or cosines, or squared distances below 0, so that more is nearer; -inf where there is none.

        Raises:
            ValueError: A query is no vector of this index, or the index has no such attribute.
        """
        queries = self._checked(queries)
        if k < 1:
            raise ValueError(f"at least one vector is wanted, not {k}")
        allowed = self._allowed(only, without, filter)
        allowed = allowed if where is None else allowed & where
        count, total = int(np.count_nonzero(allowed)), len(self.ids)
        if not count or not len(queries):
            return np.full((len(queries), k), -1), np.full((len(queries), k), -np.inf, np.float32)
        if self.gathers(count):
            return self._told(*self._gathered(queries, k, np.flatnonzero(allowed)))
        bits = np.packbits(allowed, bitorder="little")
        chosen = faiss.IDSelectorBitmap(total, faiss.swig_ptr(bits)) if count < total else None
        if not self.walks(count):
            return self._told(*self._compared(queries, k, chosen))
        values, places = self.inside.search(queries, k, params=self.parameters(chosen, count / total))
        lacking = np.flatnonzero((places >= 0).sum(axis=1) < min(k, count))
        if len(lacking):
            values[lacking], places[lacking] = self._compared(queries[lacking], k, chosen)
        return self._told(values, places)

    def findable(self, filter: Mapping[str, Any] | None = None) -> int:
        """How many vectors a search with this filter may find.

        Raises:
            ValueError: The index has no such attribute, or it has values of another type.
        """
        return int(np.count_nonzero(self._allowed(None, None, filter)))

    def _allowed(
        self,
        only: np.ndarray | None,
        without: np.ndarray | None,
        filter: Mapping[str, Any] | None,
    ) -> np.ndarray:
        """(n,) bool, the places that may be found."""
        allowed = self.alive
        if only is not None:
            allowed = self._those(only)
        if without is not None:
            allowed = allowed & ~self._those(without)
        if filter:
            known = self.attributes or Attributes(pa.table({}))
            allowed = allowed & known.allowed(filter, len(self.ids))
        return allowed

    def _those(self, ids: np.ndarray) -> np.ndarray:
        places, found = self.find(ids), np.zeros(len(self.ids), bool)
        found[places[places >= 0]] = True
        return found

    def _compared(self, queries: np.ndarray, k: int, chosen: Any) -> tuple[np.ndarray, np.ndarray]:
        """Nearness and places of the nearest of all chosen."""
        searched, parameters = self.comparing_all(chosen)
        values, places = searched.search(queries, k, params=parameters)
        return values, places

    def _gathered(self, queries: np.ndarray, k: int, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same of a few places."""
        few = faiss.IndexFlat(self.dim, self.faiss_metric)
        few.add(self.inside.reconstruct_batch(places))
        values, found = few.search(queries, k)
        return values, np.where(found >= 0, places[found], -1)

    def _told(self, values: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ids = np.where(places >= 0, self.ids[places], -1)
        scores = -values if self.config.metric == "l2" else values
        return ids, np.where(places >= 0, scores, -np.inf).astype(np.float32)

    def _checked(self, vectors: np.ndarray) -> np.ndarray:
        vectors = np.ascontiguousarray(vectors, np.float32)
        if vectors.ndim != 2 or vectors.shape[1] != self.dim:
            raise ValueError(f"vectors must be (n, {self.dim}), but are {vectors.shape}")
        if not np.isfinite(vectors).all():
            raise ValueError(f"vector {int(np.argwhere(~np.isfinite(vectors))[0][0])} has a number that is not finite")
        if self.config.metric == "cosine":
            lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64)).astype(np.float32)
            vectors = vectors / np.maximum(lengths, np.float32(1e-12))[:, None]
        return vectors

    # -------------------------------------------------------------------------------------------- the disk

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the index into a folder; one that is there stays whole until this one is.

        Raises:
            RunError: The disk refuses.
        """
        known = self.attributes.table.combine_chunks() if self.attributes is not None else pa.table({})
        about = {"config": self.config.model_dump(), "dim": self.dim, "vectors": len(self)}
        writers = {
            "vectors": lambda path: faiss.write_index(self.inside, str(path)),
            "ids": lambda path: np.save(path, self.ids),
            "alive": lambda path: np.save(path, self.alive),
            "attributes": lambda path: _write_table(path, known),
        }
        _files.write(Path(folder), about, writers)

    @staticmethod
    def load(folder: str | os.PathLike[str]) -> Index:
        """Read what `save` wrote; digests are compared before FAISS reads a byte.

        Raises:
            RunError: There is no whole index, or it is damaged.
        """
        return _files.read(Path(folder), _loaded)  # type: ignore[no-any-return]


def _loaded(about: Mapping[str, Any], files: Mapping[str, Path]) -> Index:
    index = _built(config_of(about["config"]), int(about["dim"]))
    index.inside = faiss.read_index(str(files["vectors"]))
    index.ids, index.alive = (np.load(files[part], allow_pickle=False) for part in ("ids", "alive"))
    table = _read_table(files["attributes"])
    index.attributes = Attributes(table) if len(index.ids) else None
    sizes = {index.inside.ntotal, len(index.ids), len(index.alive), *([table.num_rows] if table.num_columns else [])}
    if len(sizes) > 1 or index.inside.d != index.dim or index.inside.metric_type != index.faiss_metric:
        raise ValueError("its files do not belong together")
    return index


def config_of(given: Mapping[str, Any]) -> IndexConfig:
    """The config of an index from its content."""
    found: IndexConfig = member("easyrec.retrieval.indexes", given["type"]).Config(**given)
    return found


def _built(config: IndexConfig, dim: int) -> Index:
    from easyrec.retrieval.indexes import build  # noqa: PLC0415 (it builds on this module)

    return build(config, dim)


def _write_table(path: Path, table: pa.Table) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def _read_table(path: Path) -> pa.Table:
    with pa.OSFile(str(path)) as source:
        table = pa.ipc.open_file(source).read_all()
    table.validate(full=True)
    return table
