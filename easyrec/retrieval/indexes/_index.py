"""The contract of indexes: vectors by id, added, replaced, deleted, searched, saved and loaded."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from easyrec.durable import write_text
from easyrec.errors import ConfigError, RunError
from easyrec.retrieval.indexes import IndexConfig
from easyrec.retrieval.indexes._faiss import faiss
from feature_generator.config import member

FEW = 20_000
"""So many allowed vectors are compared one by one: a graph or lists would miss most of them."""
FORMAT = 1


class Index:
    """The nearest of N vectors. An index defines `make` and `parameters`.

    Vectors that are replaced or deleted stay inside, passed over, until the index is built anew; `wasted` tells how many.
    Any number of threads may search at a time; none while another adds or deletes.

    Args:
        config: The index's config.
        dim: D of the vectors.

    Attributes:
        ids: (n,) int64, by place: the id of each vector, those passed over included.
        alive: (n,) bool, by place: whether a vector counts.
    """

    def __init__(self, config: Any, dim: int) -> None:
        self.config, self.dim = config, dim
        self.inside: Any = self.make(dim)
        self.ids, self.alive = np.zeros(0, np.int64), np.zeros(0, bool)
        self._places: tuple[np.ndarray, np.ndarray] | None = None

    def make(self, dim: int) -> Any:
        """What FAISS builds."""
        raise TypeError(f"{type(self).__name__} must define make")

    def parameters(self, chosen: Any) -> Any:
        """How it is asked.

        Args:
            chosen: A selector of places, or None.
        """
        raise TypeError(f"{type(self).__name__} must define parameters")

    def __len__(self) -> int:
        return int(self.alive.sum())

    @property
    def wasted(self) -> float:
        """Share of the vectors inside that are passed over."""
        return 1.0 - len(self) / len(self.ids) if len(self.ids) else 0.0

    @property
    def faiss_metric(self) -> int:
        """FAISS's name of the metric."""
        return int(faiss.METRIC_L2 if self.config.metric == "l2" else faiss.METRIC_INNER_PRODUCT)

    # --------------------------------------------------------------------------------------------- changes

    def add(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        """Add vectors; an id that is there gets the new one. The first ones also train indexes that learn.

        Args:
            ids: (m,) int64, each once.
            vectors: (m, D) float32.

        Raises:
            ValueError: Ids repeat, shapes do not fit, or a number is not finite.
        """
        ids, vectors = np.ascontiguousarray(ids, np.int64), self._checked(vectors)
        if ids.shape != (len(vectors),):
            raise ValueError(f"{len(vectors)} vectors need as many ids, but here are {ids.shape}")
        if len(np.unique(ids)) != len(ids):
            values, counts = np.unique(ids, return_counts=True)
            raise ValueError(f"the id {values[counts > 1][0]} is there twice")
        if not len(ids):
            return
        self.delete(ids)
        if not self.inside.is_trained:
            self.train(vectors)
        self.inside.add(vectors)
        self.ids = np.concatenate([self.ids, ids])
        self.alive = np.concatenate([self.alive, np.ones(len(ids), bool)])
        self._places = None

    def train(self, vectors: np.ndarray) -> None:
        """Let an index that learns see vectors; `add` does so with the first ones.

        Raises:
            ConfigError: They are fewer than the index has lists, or codes.
        """
        least = max(getattr(self.config, "lists", 0), 256 if hasattr(self.config, "bytes") else 0)
        if len(vectors) < least:
            text = f"'{self.config.type}' learns from at least {least} vectors, but here are {len(vectors)}"
            raise ConfigError(f"{text}: set fewer 'lists', or take 'flat' or 'hnsw'")
        self.inside.train(self._checked(vectors))

    def delete(self, ids: np.ndarray) -> int:
        """Delete the vectors of these ids; gives how many there were."""
        places = self.find(ids)
        places = places[places >= 0]
        self.alive[places] = False
        self._places = None if len(places) else self._places
        return len(places)

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

    def search(self, queries: np.ndarray, k: int, only: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The nearest vectors of each query.

        Args:
            queries: (B, D) float32.
            k: How many are wanted.
            only: Ids that may be found; None: all.

        Returns:
            (B, k) int64 ids, the nearest first, -1 behind the last where there are fewer; and (B, k) float32: inner
            products or cosines, or squared distances below 0, so that more is nearer; -inf where there is none.
        """
        queries = self._checked(queries)
        if not len(self.ids):
            return np.full((len(queries), k), -1), np.full((len(queries), k), -np.inf, np.float32)
        places = None if only is None else self._allowed(only)
        if places is not None and len(places) <= FEW:
            return self._one_by_one(queries, k, places)
        chosen = None
        if places is not None or not self.alive.all():
            allowed = self.alive
            if places is not None:
                allowed = np.zeros(len(self.ids), bool)
                allowed[places] = True
            bits = np.packbits(allowed, bitorder="little")
            chosen = faiss.IDSelectorBitmap(len(allowed), faiss.swig_ptr(bits))
        values, found = self.inside.search(queries, k, params=self.parameters(chosen))
        return self._told(values, found)

    def _allowed(self, only: np.ndarray) -> np.ndarray:
        places = self.find(np.unique(np.asarray(only, np.int64)))
        return places[places >= 0]

    def _one_by_one(self, queries: np.ndarray, k: int, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The nearest of a few places: all are compared."""
        vectors = self.inside.reconstruct_batch(places) if len(places) else np.zeros((0, self.dim), np.float32)
        flat = faiss.IndexFlat(self.dim, self.faiss_metric)
        flat.add(vectors)
        values, found = flat.search(queries, k)
        return self._told(values, np.where(found >= 0, places[found] if len(places) else -1, -1))

    def _told(self, values: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ids = np.where(found >= 0, self.ids[found] if len(self.ids) else -1, -1)
        scores = -values if self.config.metric == "l2" else values
        return ids, np.where(found >= 0, scores, -np.inf).astype(np.float32)

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
        """Write the index into a folder: `index.json` comes last, and tells the digests of the other files.

        Raises:
            RunError: The disk refuses.
        """
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        (path / "index.json").unlink(missing_ok=True)
        try:
            faiss.write_index(self.inside, str(path / "vectors.faiss"))
            np.save(path / "ids.npy", self.ids)
            np.save(path / "alive.npy", self.alive)
        except (OSError, RuntimeError) as error:
            raise RunError(f"cannot write {path}: {error}") from error
        files = {name: _digest(path / name) for name in ("vectors.faiss", "ids.npy", "alive.npy")}
        about = {"format": FORMAT, "config": self.config.model_dump(), "dim": self.dim, "files": files}
        write_text(path / "index.json", json.dumps(about, indent=1) + "\n")

    @staticmethod
    def load(folder: str | os.PathLike[str]) -> Index:
        """Read what `save` wrote; digests are compared before FAISS reads a byte.

        Raises:
            RunError: There is no whole index, or it is damaged.
        """
        path = Path(folder)
        try:
            about = json.loads((path / "index.json").read_text(encoding="utf-8"))
            wrong = [name for name, digest in about["files"].items() if _digest(path / name) != digest]
            if about["format"] != FORMAT or wrong:
                raise ValueError(f"{wrong[0]} is damaged" if wrong else f"format {about['format']} is unknown")
            config = member("easyrec.retrieval.indexes", about["config"]["type"]).Config(**about["config"])
            index = _built(config, int(about["dim"]))
            index.inside = faiss.read_index(str(path / "vectors.faiss"))
            index.ids, index.alive = (np.load(path / f"{name}.npy", allow_pickle=False) for name in ("ids", "alive"))
        except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise RunError(f"{path}: holds no whole index: {error}") from error
        return index


def _built(config: IndexConfig, dim: int) -> Index:
    from easyrec.retrieval.indexes import build  # noqa: PLC0415 (it builds on this module)

    return build(config, dim)


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
