"""`Embedding`: vectors of what a knowledge base has, each paid for once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np

from easyrec.llm.embedders import Embedder
from rag.chunkers import Chunk
from rag.records import New, Records
from rag.report import Report

AT_ONCE = 256
"""Texts whose vectors are kept as soon as they are there: a process that is stopped loses no more."""
KEPT_S = 30 * 86_400.0
"""How long vectors are kept that no document came to have."""


class Embedding:
    """Makes vectors of texts that have none.

    Args:
        records: Know those that were made.
        embedder: Makes them; None: there are no vectors.
        now: Seconds since 1970.
    """

    def __init__(self, records: Records, embedder: Embedder | None, now: Callable[[], float]) -> None:
        self._records, self._embedder, self._now = records, embedder, now

    def new(self, chunks: Sequence[Chunk], report: Report) -> list[New]:
        """Chunks with their vectors; equal texts are embedded once, and those that have a vector already are not."""
        texts = [chunk.searched() for chunk in chunks]
        keys = [_key(text) for text in texts]
        if self._embedder is None:
            return [New(chunk, key, None) for chunk, key in zip(chunks, keys, strict=True)]
        with report.stage("embed"):
            known = self._known(dict(zip(keys, texts, strict=True)), report)
        return [New(chunk, key, known[key]) for chunk, key in zip(chunks, keys, strict=True)]

    def vectors(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of texts; (n, d) float32."""
        keys = [_key(text) for text in texts]
        known = self._known(dict(zip(keys, texts, strict=True)), Report())
        return np.stack([known[key] for key in keys])

    def _known(self, texts: dict[bytes, str], report: Report) -> dict[bytes, np.ndarray]:
        """Vectors of texts, by their keys."""
        assert self._embedder is not None
        known = self._records.vectors_of(list(texts))
        missing = [key for key in texts if key not in known]
        for start in range(0, len(missing), AT_ONCE):
            some = missing[start : start + AT_ONCE]
            made = dict(zip(some, self._embedder.documents([texts[key] for key in some]), strict=True))
            self._records.remember(made, self._now())
            known |= made
            report.embedded += len(some)
        return known

    def missing(self, report: Report) -> None:
        """Vectors for chunks that have none, since there was no embedder or another one."""
        while self._embedder is not None and (parts := self._records.without_vectors(AT_ONCE)):
            new = self.new([part.chunk for part in parts], report)
            with self._records.writing():
                self._records.give_vectors(
                    {p.id: n.vector for p, n in zip(parts, new, strict=True) if n.vector is not None}
                )

    def forget(self) -> None:
        """Let go of vectors that nobody came for."""
        if self._embedder is not None:
            self._records.forget_ahead(self._now() - KEPT_S)


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
