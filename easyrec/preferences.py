"""Who is preferred: strengths of several, of which two at a time were compared."""

from __future__ import annotations

import numpy as np

from easyrec.intervals import Interval

PRIOR = 0.5
"""Wins that each has over each other one before anything is seen: whoever never won is not infinitely weak."""
ROUNDS, NEAR = 1000, 1e-9


def bradley_terry(wins: np.ndarray, prior: float = PRIOR) -> np.ndarray:
    """Strengths ``b`` by which ``P(i is preferred to j) = 1 / (1 + exp(b_j - b_i))``, of mean 0.

    Args:
        wins: (..., k, k), how often each row was preferred to each column; a tie is half a win for both.
        prior: Wins that each has over each other one besides.

    Returns:
        (..., k)

    Source:
        Bradley and Terry, "Rank analysis of incomplete block designs", 1952; by the iteration of Hunter, "MM algorithms for
        generalized Bradley-Terry models", 2004, eq. (3).
    """
    given = np.asarray(wins, np.float64)
    k = given.shape[-1]
    held = (given + prior) * (1.0 - np.eye(k))
    met, won = held + np.swapaxes(held, -1, -2), held.sum(-1)
    strength = np.ones(given.shape[:-1])
    for _ in range(ROUNDS):
        shared = met / (strength[..., :, None] + strength[..., None, :])
        new = won / shared.sum(-1)
        new /= np.exp(np.log(new).mean(-1, keepdims=True))
        moved = np.abs(np.log(new / strength)).max(initial=0.0)
        strength = new
        if moved < NEAR:
            break
    logs: np.ndarray = np.log(strength)
    return logs


def strengths(
    verdicts: np.ndarray, level: float = 0.95, resamples: int = 1000, seed: int = 0, prior: float = PRIOR
) -> list[Interval]:
    """Strengths with intervals: the bootstrap over the things that were compared on.

    Args:
        verdicts: (n, k, k), for each thing how often each was preferred to each.
        level: How often such intervals hold the true strength.
        resamples: How many samples of the things are drawn.
        seed: Where chance starts.
        prior: As of `bradley_terry`.
    """
    given = np.asarray(verdicts, np.float64)
    n, k, _ = given.shape
    found = bradley_terry(given.sum(0), prior)
    drawn = (
        np.random.default_rng(seed).multinomial(n, np.full(n, 1.0 / max(n, 1)), resamples) if n else np.zeros((1, 0))
    )
    several = bradley_terry((drawn @ given.reshape(n, k * k)).reshape(-1, k, k), prior)
    low, high = np.quantile(several, [0.5 - level / 2, 0.5 + level / 2], axis=0)
    return [Interval(float(b), float(lo), float(hi), n) for b, lo, hi in zip(found, low, high, strict=True)]
