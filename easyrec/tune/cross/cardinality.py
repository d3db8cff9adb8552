"""How many different words there are, and how large a table of hashed ids has to be for them."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa

from easyrec.tune.cross.codes import Array
from feature_generator import FeatureGenerator

BITS = 14
"""Of a hash that choose a register: the estimate is off by 0.8 %, more or less."""
REST = 62 - BITS


class Distinct:
    """Estimates how many different words it was shown, in 16 kB.

    Source:
        Flajolet et al., "HyperLogLog", AofA 2007; linear counting where few registers are used.
    """

    def __init__(self) -> None:
        self.registers = np.zeros(1 << BITS, np.int8)
        words = {"type": "id", "name": "w", "expression": "item:w", "hash_bucket_size": 1 << 62, "value_dim": 1}
        self._hashes = FeatureGenerator.load({"features": [words]})

    def add(self, words: pa.Array) -> None:
        """Count in some words; empty ones are none."""
        hashes = np.asarray(self._hashes.transform({"w": words})["w"].values)
        rest = (hashes >> BITS).astype(np.float64)  # 48 bits: exact
        # The place of the first bit that is set, from the left; behind the last where none is.
        ranks = REST + 1 - np.frexp(rest)[1]
        np.maximum.at(self.registers, hashes & ((1 << BITS) - 1), ranks.astype(np.int8))

    @property
    def estimate(self) -> float:
        """About how many there are."""
        m = float(len(self.registers))
        raw = 0.7213 / (1 + 1.079 / m) * m * m / float(np.ldexp(1.0, -self.registers.astype(np.int32)).sum())
        empty = int(np.count_nonzero(self.registers == 0))
        return m * math.log(m / empty) if raw <= 2.5 * m and empty else raw


def collisions(words: float, buckets: int) -> float:
    """Share of words that share their bucket with another one, on average: ``1 - (1 - 1 / N)^(D - 1)``."""
    return -math.expm1(max(words - 1.0, 0.0) * math.log1p(-1.0 / buckets)) if buckets > 1 else float(words > 1)


def buckets_for(words: float, max_collisions: float, most: int) -> int:
    """Buckets by which no more than a share of the words collide, in two digits; `most` where that is more."""
    wanted = max(words, 1.0) / -math.log1p(-max_collisions)
    power = 10.0 ** max(math.floor(math.log10(wanted)) - 1, 0)
    return int(min(max(math.ceil(wanted / power) * power, 10), most))


def words_behind(used: int, buckets: int) -> float:
    """About how many words there are where they use so many of a table's buckets: the inverse of ``N (1 - e^(-D/N))``."""
    if used >= buckets:
        return math.inf
    return -buckets * math.log1p(-used / buckets)


def occupied(ids: Array) -> int:
    """Different numbers."""
    return len(np.unique(ids))
