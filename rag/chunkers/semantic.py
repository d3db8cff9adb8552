"""`semantic`: the text of a section breaks where what neighbouring sentences mean differs most."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from easyrec.errors import ConfigError
from rag.chunkers import Chunk, ChunkerConfig, Embed, sentences_of
from rag.chunkers._parts import Run, packed_spans, runs, spans_of
from rag.document import Block


class Config(ChunkerConfig):
    """Config of `semantic`.

    Each sentence is embedded by the knowledge base's embedder, with the sentences next to it; those of a text that is as it
    was have their vectors already.
    """

    embeds: ClassVar[bool] = True

    type: Literal["semantic"] = "semantic"
    percentile: float = Field(90.0, gt=0.0, lt=100.0)
    """Of the differences between neighbours in a document: a text breaks where they differ more."""
    buffer: int = Field(1, ge=0, le=10)
    """Sentences on each side that are embedded with one."""

    def cut(self, blocks: Iterable[Block], embed: Embed | None) -> Iterator[Chunk]:
        """The parts of a document. Tables, code and figures are cut as `structure` does."""
        if embed is None:
            raise ConfigError("knowledge.chunker: 'semantic' needs 'knowledge.embedder'")
        parts = list(runs(blocks, self.size))
        spans = [spans_of(sentences_of(part.text), self.size) if isinstance(part, Run) else [] for part in parts]
        steps = [self._steps(part.text, own, embed) for part, own in zip(parts, spans, strict=True)]
        every = np.concatenate([np.empty(0, np.float32), *steps])
        most = float(np.percentile(every, self.percentile)) if len(every) else 0.0
        for part, own, step in zip(parts, spans, steps, strict=True):
            if not isinstance(part, Run):
                yield part
                continue
            begins = [0, *(np.flatnonzero(step > most) + 1).tolist(), len(own)]
            for first, last in pairwise(begins):
                for some in packed_spans(own[first:last], self.size):
                    yield part.chunk(some[0][0], some[-1][1])

    def _steps(self, text: str, spans: list[tuple[int, int, int]], embed: Embed) -> np.ndarray:
        """(n - 1,) float32: how much each sentence differs from the one before, as one less their cosine."""
        if len(spans) < 2:
            return np.empty(0, np.float32)
        around = [
            text[spans[max(0, i - self.buffer)][0] : spans[min(len(spans) - 1, i + self.buffer)][1]].strip()
            for i in range(len(spans))
        ]
        vectors = embed(around)
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        found: np.ndarray = 1.0 - np.einsum("nd,nd->n", vectors[:-1], vectors[1:]).astype(np.float32)
        return found
