"""What indexes share that keep their vectors in lists around centres."""

from __future__ import annotations

import logging
from math import ceil
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from easyrec.retrieval.indexes import IndexConfig
from easyrec.retrieval.indexes._faiss import faiss
from easyrec.retrieval.indexes._index import Index

logger = logging.getLogger("easyrec.retrieval")

EACH = 40
"""Vectors that a centre, or a code, is learned from at least where it is to be good."""

GATHERED = 2000
"""Vectors that are taken out of lists, at most."""


class ListsConfig(IndexConfig):
    """Keys of indexes of lists."""

    effort: ClassVar[str | None] = "probes"

    lists: int = Field(1024, gt=0)
    """Centres, learned from the first vectors that are added: about 40 vectors each, at least."""
    probes: int = Field(16, gt=0)
    """Lists that a search compares: more find more, slower."""


class Lists(Index):
    """Vectors in lists; the lists of the nearest centres are compared. An index defines `around`."""

    def around(self, centres: Any, dim: int) -> Any:
        """What FAISS builds around centres."""
        raise TypeError(f"{type(self).__name__} must define around")

    def make(self, dim: int) -> Any:
        """Lists around centres that are searched one by one."""
        index = self.around(faiss.IndexFlat(dim, self.faiss_metric), dim)
        index.cp.min_points_per_centroid = 1  # `train` says it, once
        index.set_direct_map_type(faiss.DirectMap.Array)
        return index

    @property
    def least(self) -> int:
        """A vector for each centre."""
        return int(self.config.lists)

    def train(self, vectors: np.ndarray) -> None:
        """As every index; few vectors make poor centres, which is said."""
        super().train(vectors)
        if len(vectors) < EACH * self.least:
            text = "'%s' with %s lists had %s vectors to learn from, and wants %s: 'flat' or 'hnsw' suit so few, or fewer lists"
            logger.warning(text, self.config.type, self.config.lists, f"{len(vectors):,}", f"{EACH * self.least:,}")

    def parameters(self, chosen: Any, share: float) -> Any:
        """So many lists that as many vectors are compared as there are in those that the config says."""
        probes = min(ceil(self.config.probes / share), self.config.lists)
        return faiss.SearchParametersIVF(nprobe=probes, sel=chosen)

    def gathers(self, allowed: int) -> bool:
        """Vectors lie far from each other in lists, and are made of codes: few are worth it."""
        return super().gathers(allowed) and allowed < GATHERED

    def walks(self, allowed: int) -> bool:
        """Whether not all lists would be compared."""
        return bool(self.config.probes * len(self.ids) < self.config.lists * max(allowed, 1))

    @property
    def bytes_each(self) -> int:
        """A code, its place, and where it lies."""
        return int(self.inside.code_size) + 2 * 8 + self.ids.itemsize + self.alive.itemsize

    def efforts(self, k: int) -> list[int]:
        """From as many lists as hold twice the vectors that are wanted, to all."""
        lists = int(self.config.lists)
        first = min(ceil(2 * k * lists / max(len(self), 1)), lists)
        return sorted({min(max(round(2 ** (power / 2)), first), lists) for power in range(2 * lists.bit_length() + 1)})

    def comparing_all(self, chosen: Any) -> tuple[Any, Any]:
        """All lists."""
        return self.inside, faiss.SearchParametersIVF(nprobe=self.config.lists, sel=chosen)

    def keep(self, places: np.ndarray) -> None:
        """The same centres and codes, without those of other places."""
        index, old = self.inside, self.inside.invlists
        new_place = np.full(len(self.ids), -1, np.int64)
        new_place[places] = np.arange(len(places))
        kept = faiss.ArrayInvertedLists(self.config.lists, index.code_size)
        for number in range(self.config.lists):
            size = old.list_size(number)
            if not size:
                continue
            now = new_place[faiss.rev_swig_ptr(old.get_ids(number), size)]
            codes = faiss.rev_swig_ptr(old.get_codes(number), size * index.code_size).reshape(size, -1)
            now, codes = now[now >= 0], np.ascontiguousarray(codes[now >= 0])
            kept.add_entries(number, len(now), faiss.swig_ptr(now), faiss.swig_ptr(codes.reshape(-1)))
        index.set_direct_map_type(faiss.DirectMap.NoMap)
        index.replace_invlists(kept, True)
        kept.this.disown()
        index.ntotal = len(places)
        index.set_direct_map_type(faiss.DirectMap.Array)
