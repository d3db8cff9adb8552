"""Counter-based random numbers: the same bits on every machine and with every numpy.

numpy does not promise that its generators keep their streams between versions; the shop
promises the same bytes for ever, so it hashes counters itself.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


class Draws:
    """A named stream of independent uniform numbers, addressed by counter.

    Source:
        Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014 (SplitMix64).
    """

    def __init__(self, *path: object) -> None:
        digest = hashlib.sha256("/".join(map(str, path)).encode()).digest()
        self._key = np.uint64(int.from_bytes(digest[:8], "little"))

    def at(self, counters: Ints) -> Floats:
        """Uniform numbers in [0, 1), one per counter; equal counters give equal numbers."""
        z = counters.astype(np.uint64)
        z += np.uint64(1)
        z *= _GAMMA
        z += self._key
        z ^= z >> np.uint64(30)
        z *= _MIX_1
        z ^= z >> np.uint64(27)
        z *= _MIX_2
        z ^= z >> np.uint64(31)
        z >>= np.uint64(11)
        uniform = z.astype(np.float64)
        uniform *= 2.0**-53
        return uniform

    def grid(self, rows: Ints, width: int) -> Floats:
        """Uniform numbers (n, width) for row ids (n,); a row's numbers depend on its id alone."""
        return self.at(rows[:, None] * width + np.arange(width))

    def uniform(self, *shape: int) -> Floats:
        """The first numbers of the stream, in an array of this shape."""
        return self.at(np.arange(int(np.prod(shape)))).reshape(shape)

    def normal(self, *shape: int) -> Floats:
        """Standard normal numbers (Box-Muller), rounded to six decimals."""
        u = self.uniform(*shape, 2)
        return rounded(np.sqrt(-2.0 * np.log1p(-u[..., 0])) * np.cos(2.0 * np.pi * u[..., 1]))


def rounded(values: Floats, decimals: int = 6) -> Floats:
    """Values on a grid of decimals: libm's last bit differs between machines, the grid does not."""
    on_grid: Floats = np.round(values, decimals)
    return on_grid


def pick(cumulative: Floats, uniform: Floats) -> Ints:
    """Indices drawn in proportion to weights whose running sum is ``cumulative`` (n,)."""
    index: Ints = np.searchsorted(cumulative, uniform * cumulative[-1], side="right").astype(np.int64)
    return np.minimum(index, len(cumulative) - 1)
