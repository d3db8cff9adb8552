"""Full ranking: every item of the catalogue is scored for every user."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from easyrec.retrieval.few import Few
from easyrec.retrieval.metrics import Found, RetrievalMetric

SCORES = 1 << 24
"""Scores that are held at once."""


class Scores(Protocol):
    """What N items score for users, where that is no product of vectors."""

    def __len__(self) -> int:
        """N."""
        ...

    def __call__(self, users: Any, /) -> np.ndarray:
        """(B, N) float32, of some of `Users.vectors`."""
        ...


@dataclass(frozen=True)
class Users:
    """B users who ask.

    Attributes:
        vectors: (B, D) float32, or (B, K, D) where a user has several: the nearest to an item counts. Of `Scores`, what
            they read, which has a length and slices.
        wanted: (R,) int64, the items that they want; -1 for items that the catalogue does not have.
        offsets: (B+1,) int64, whose they are.
        spared: (S,) int64, items that are not recommended to them, -1 for none; None: no such.
        spared_offsets: (B+1,) int64, to whom.
        slices: By name, the ascending numbers of the users of a slice.
    """

    vectors: Any
    wanted: np.ndarray
    offsets: np.ndarray
    spared: np.ndarray | None = None
    spared_offsets: np.ndarray | None = None
    slices: Mapping[str, np.ndarray] = field(default_factory=dict)

    def slice(self, start: int, stop: int) -> Users:
        """The users from `start` to before `stop`."""
        low, high = self.offsets[start], self.offsets[stop]
        part = Users(self.vectors[start:stop], self.wanted[low:high], self.offsets[start : stop + 1] - low)
        if self.spared is None or self.spared_offsets is None:
            return part
        low, high = self.spared_offsets[start], self.spared_offsets[stop]
        spared_offsets = self.spared_offsets[start : stop + 1] - low
        return Users(part.vectors, part.wanted, part.offsets, self.spared[low:high], spared_offsets)


def rank(users: Users, items: Tensor | Scores, k: int, few: Sequence[Few] = ()) -> Iterator[Found]:
    """The first k items of each user, and the ranks of wanted ones; a wanted item is never spared.

    A wanted item stands behind all items that score as much as it does.

    Args:
        users: Who asks.
        items: (N, D) float32, or what scores them.
        k: How many items are named.
        few: Draw items among which the wanted ones are ranked too.
    """
    several = users.vectors.shape[1] if isinstance(users.vectors, Tensor) and users.vectors.dim() == 3 else 1
    step = max(SCORES // max(len(items) * several, 1), 1)
    for start in range(0, len(users.vectors), step):
        part = users.slice(start, min(start + step, len(users.vectors)))
        scores = _scores(part.vectors, items)  # (b, N)
        rows = np.repeat(np.arange(len(scores)), np.diff(part.offsets))
        known = part.wanted >= 0
        who, what = (torch.from_numpy(a).to(scores.device) for a in (rows[known], part.wanted[known]))
        own = scores[who, what]
        if part.spared is not None and part.spared_offsets is not None:
            whom = np.repeat(np.arange(len(scores)), np.diff(part.spared_offsets))[part.spared >= 0]
            spared = torch.from_numpy(part.spared[part.spared >= 0]).to(scores.device)
            scores[torch.from_numpy(whom).to(scores.device), spared] = -torch.inf
            scores[who, what] = own
        ranks = np.full(len(part.wanted), -1, np.int64)
        ranks[known] = torch.cat([_behind(scores, w, o) for w, o in _pieces(who, own, len(items))]).cpu().numpy() - 1
        values, best = scores.topk(min(k, len(items)), dim=1)
        best = best.masked_fill(values == -torch.inf, -1)
        drawn = {one.drawn: np.full(len(part.wanted), -1, np.int64) for one in few}
        for one in few:
            drawn[one.drawn][known] = one.ranks(scores, who, what)
        yield Found(best.cpu().numpy(), ranks, part.offsets, drawn)


def listed(items: np.ndarray, wanted: np.ndarray, offsets: np.ndarray, count: int) -> Found:
    """What was found as lists; a wanted item that is not in its user's list stands behind all items.

    Args:
        items: (B, K) the best items first, -1 behind the last.
        wanted: (R,) the items that are wanted, -1 for those that the catalogue does not have.
        offsets: (B+1,) whose they are.
        count: Items of the catalogue.
    """
    same = items[np.repeat(np.arange(len(items)), np.diff(offsets))] == wanted[:, None]
    ranks = np.where(same.any(axis=1), same.argmax(axis=1) if items.shape[1] else 0, count)
    return Found(items, np.where(wanted >= 0, ranks, -1), offsets)


def _scores(vectors: Any, items: Tensor | Scores) -> Tensor:
    if not isinstance(items, Tensor):
        return torch.from_numpy(items(vectors))
    scores: Tensor = vectors @ items.T  # (b, N) or (b, K, N)
    return scores.amax(dim=1) if scores.dim() == 3 else scores


def _pieces(who: Tensor, own: Tensor, items: int) -> Iterator[tuple[Tensor, Tensor]]:
    size = max(SCORES // max(items, 1), 1)
    yield from zip(torch.split(who, size), torch.split(own, size), strict=True)


def _behind(scores: Tensor, who: Tensor, own: Tensor) -> Tensor:
    """(r,), how many items score as much as a wanted one or more, itself among them."""
    return (scores.index_select(0, who) >= own.unsqueeze(1)).sum(1)


class Measured:
    """Metrics over all users and over slices of them.

    Args:
        fresh: Makes metrics that were fed nothing.
        counts: (N,) how often each item is met in training; ones where no metric asks.
    """

    def __init__(self, fresh: Callable[[], list[RetrievalMetric]], counts: np.ndarray) -> None:
        self.fresh, self.whole = fresh, fresh()
        drawn = dict.fromkeys(metric.config.drawn for metric in self.whole)
        self.few = [Few(one, counts) for one in drawn if one is not None]
        self.sliced: dict[str, list[RetrievalMetric]] = {}
        self.most = max((metric.config.k for metric in self.whole), default=1)

    def update(self, users: Users, items: Tensor | Scores) -> None:
        """Rank all items for some users, and feed the metrics."""
        start = 0
        for found in rank(users, items, self.most, self.few):
            self.take(found, users.slices, start)
            start += len(found.items)

    def take(self, found: Found, slices: Mapping[str, np.ndarray], start: int = 0) -> None:
        """Feed the metrics.

        Args:
            found: What was found for some users.
            slices: By name, the ascending numbers of the users of a slice.
            start: The number of the first user.
        """
        for metric in self.whole:
            metric.update(found)
        for name, rows in slices.items():
            inside = rows[(rows >= start) & (rows < start + len(found.items))] - start
            if len(inside):
                if name not in self.sliced:
                    self.sliced[name] = self.fresh()
                for metric in self.sliced[name]:
                    metric.update(found.of(inside))

    def compute(self) -> dict[str, float]:
        """All values: `recall@10`; of a slice `recall@10[country=US]`."""
        found = {metric.config.key: metric.compute() for metric in self.whole}
        for name, metrics in sorted(self.sliced.items()):
            found |= {f"{metric.config.key}[{name}]": metric.compute() for metric in metrics}
        return found
