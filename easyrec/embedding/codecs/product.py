"""`product`: product quantisation, a byte for some neighbouring numbers of a row."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import Field

from easyrec.config.compress import CodecConfig
from easyrec.embedding.codecs._codec import Codec
from easyrec.embedding.encoded import BOOK, Draft

LEARNED = 8_192
"""Rows that a book of several numbers is learned from, at most."""
ROUNDS = 12
"""Of k-means."""


class Config(CodecConfig):
    """Config of `product`."""

    type: Literal["product"] = "product"
    numbers: int = Field(1, ge=1)
    """How many neighbouring numbers a byte stands for, at most: the largest divisor of the dim up to this."""
    entries: int = Field(BOOK, ge=2, le=BOOK)
    """Entries of a code book, at most: tables of few rows have smaller ones."""


class Product(Codec):
    """``E[i] ~ [B_1[c_i1], .., B_m[c_im]]``, where each book B_j has the centres that k-means finds for its numbers.

    A row counts as often as its id was met.

    Source:
        Jegou et al., "Product quantization for nearest neighbor search", TPAMI 2011.
    """

    config: Config

    def __call__(self, draft: Draft) -> Draft:
        """The table with codes in place of rows."""
        width = draft.numbers.shape[1]
        size = next(size for size in range(min(self.config.numbers, width), 0, -1) if width % size == 0)
        entries = min(self.config.entries, max(2, len(draft.numbers) // 8))
        codes = np.empty((len(draft.numbers), width // size), np.uint8)
        books = np.empty((width // size, entries, size), np.float16)
        if not np.isfinite(draft.numbers).all():
            raise ValueError("a number is not finite, which no code book can hold")
        for part in range(width // size):
            block = np.ascontiguousarray(draft.numbers[:, part * size : (part + 1) * size])
            codes[:, part], books[part] = _quantised(block, draft.counts, entries)
        return replace(draft, codes=codes, books=books)


def _quantised(block: np.ndarray, counts: np.ndarray, entries: int) -> tuple[np.ndarray, np.ndarray]:
    """The nearest centre of each row, and the centres (entries, size)."""
    weights = counts + 1.0
    if block.shape[1] == 1:
        centres = _levels(block[:, 0], weights, entries).astype(np.float16)
        middles = (centres[1:].astype(np.float32) + centres[:-1]) / 2
        return np.searchsorted(middles, block[:, 0]).astype(np.uint8), centres[:, None]
    rows = np.arange(len(block))
    random = np.random.default_rng(0)
    if len(block) > LEARNED:
        rows = np.sort(random.choice(len(block), LEARNED, replace=False, p=weights / weights.sum()))
        weights = np.ones(len(block))  # they were drawn by it
    centres = _centres(block[rows], weights[rows], entries, random).astype(np.float16)
    rounded = centres.astype(np.float32)
    codes = [_nearest(block[at : at + LEARNED], rounded) for at in range(0, len(block), LEARNED)]
    return np.concatenate(codes).astype(np.uint8), centres


def _centres(block: np.ndarray, weights: np.ndarray, entries: int, random: np.random.Generator) -> np.ndarray:
    """Centres of weighted points by k-means; one that is nobody's nearest goes to a point that is far from its own."""
    centres = block[random.choice(len(block), entries, replace=False)].astype(np.float64)
    for _ in range(ROUNDS):
        nearest = _nearest(block, centres.astype(np.float32))
        mass = np.bincount(nearest, weights, entries)
        sums = [np.bincount(nearest, weights * column, entries) for column in block.T]
        centres = np.where(mass[:, None] > 0, np.stack(sums, axis=1) / np.maximum(mass, 1.0)[:, None], centres)
        idle = np.flatnonzero(mass == 0)
        if len(idle):
            far = np.argsort(-weights * ((block - centres[nearest]) ** 2).sum(axis=1), kind="stable")
            centres[idle] = block[far[: len(idle)]]
    return centres


def _nearest(block: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """(n,) the nearest centre of each point."""
    found: np.ndarray = np.argmax(block @ centres.T - (centres**2).sum(axis=1) / 2, axis=1)
    return found


def _levels(numbers: np.ndarray, weights: np.ndarray, entries: int) -> np.ndarray:
    """Ascending centres of weighted numbers: k-means on a line, where the nearest are found by sorting."""
    order = np.argsort(numbers, kind="stable")
    ascending, heavy = numbers[order].astype(np.float64), weights[order]
    total, sums = (np.concatenate([[0.0], np.cumsum(a)]) for a in (heavy, heavy * ascending))
    # Between shares of the rows and of the range: the first alone leaves the tails out.
    spread = np.linspace(ascending[0], ascending[-1], entries)
    centres = np.sort((np.quantile(ascending, np.linspace(0.0, 1.0, entries)) + spread) / 2)
    for _ in range(ROUNDS):
        ends = np.concatenate([[0], np.searchsorted(ascending, (centres[1:] + centres[:-1]) / 2), [len(ascending)]])
        mass = total[ends[1:]] - total[ends[:-1]]
        means = (sums[ends[1:]] - sums[ends[:-1]]) / np.where(mass > 0, mass, 1.0)
        centres = np.sort(np.where(mass > 0, means, centres))
    return centres
