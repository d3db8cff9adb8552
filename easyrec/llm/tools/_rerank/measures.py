"""How good orders are: nDCG, Recall and HitRate of systems, their intervals and differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from easyrec.intervals import difference, interval
from easyrec.llm.ranking import Ranked


def measured(labels: Sequence[np.ndarray], at: Sequence[int]) -> dict[str, np.ndarray]:
    """By measure its value of each request.

    Args:
        labels: Of each request, in the order that is measured; what is above 0 was taken.
        at: How many of the first ones are looked at.

    Source:
        Jarvelin and Kekalainen, "Cumulated gain-based evaluation of IR techniques", TOIS 2002, with the gain ``2^label - 1``.
    """
    width = max((len(one) for one in labels), default=0)
    gains = np.zeros((len(labels), width))
    for row, one in enumerate(labels):
        gains[row, : len(one)] = np.exp2(np.clip(one, 0.0, 32.0)) - 1.0
    taken = gains > 0.0
    discounts = 1.0 / np.log2(np.arange(width) + 2.0)
    best = -np.sort(-gains, axis=1)
    found = {}
    for k in at:
        ideal = best[:, :k] @ discounts[:k]
        found[f"ndcg@{k}"] = (gains[:, :k] @ discounts[:k]) / np.where(ideal > 0.0, ideal, 1.0)
        found[f"recall@{k}"] = taken[:, :k].sum(1) / np.maximum(taken.sum(1), 1)
        found[f"hit_rate@{k}"] = taken[:, :k].any(1).astype(np.float64)
    return found


def compared(
    systems: Mapping[str, Mapping[str, np.ndarray]], level: float
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Means of systems, and what `model` has more than each other one."""
    means = {
        name: {key: asdict(interval(list(values), level)) for key, values in own.items()}
        for name, own in systems.items()
    }
    more = {
        name: {key: asdict(difference(list(own[key]), list(systems["model"][key]), level)) for key in own}
        for name, own in systems.items()
        if name != "model"
    }
    return means, more


def bias_of(ranked: Sequence[Ranked], level: float) -> dict[str, Any]:
    """How places in the prompt moved answers.

    `place`: Spearman's correlation of the place in the prompt and that in the answer; candidates are shown in drawn orders, so that
    it is 0 where places move nothing, and 1 where answers are the places. `first`: how often the candidate was put first that
    was shown first, and how often chance would do it. `turned`: how often an answer about two turned with their order; `firsts`: how
    often that won which stood first, of all answers.
    """
    looks = [look for one in ranked for look in one.looks]
    told: dict[str, Any] = {}
    lists = [look for look in looks if look.shown and look.named]
    if lists:
        correlated = [value for look in lists if (value := _spearman(look.named)) is not None]
        told["place"] = asdict(interval(correlated, level))
        told["first"] = asdict(interval([float(look.named[0] == 0) for look in lists], level))
        told["first_by_chance"] = float(np.mean([1.0 / look.shown for look in lists]))
    pairs = [look for look in looks if look.turned is not None]
    if pairs:
        told["turned"] = asdict(interval([float(bool(look.turned)) for look in pairs], level))
        told["firsts"] = asdict(interval([look.firsts / 2 for look in pairs], level))
    return told


def _spearman(named: Sequence[int]) -> float | None:
    """Of the places in the prompt, in the order of the answer; None of one."""
    count = len(named)
    if count < 2:
        return None
    ranks = np.argsort(np.argsort(np.asarray(named)))
    return float(1.0 - 6.0 * ((ranks - np.arange(count)) ** 2).sum() / (count * (count * count - 1)))
