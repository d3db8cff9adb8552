"""Metrics of retrieval: how good the items are that were found for users in the whole catalogue.

The contract of the family: `easyrec/retrieval/metrics/<type>.py` holds the metric's `Config` over `RetrievalConfig`, and
one class over `RetrievalMetric`. A metric is fed batch by batch; two that were fed different users merge into what one
would be that was fed them all. Knows no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field
from typing_extensions import Self

from easyrec.config.family import implementation
from feature_generator.config import StrictModel

__all__ = ["Drawn", "Found", "ListMetric", "RetrievalConfig", "RetrievalMetric", "build"]


class RetrievalConfig(StrictModel):
    """What the config of every such metric has; a metric's own `Config` derives from it.

    Attributes:
        better: Which direction is better; None where that depends on the task.
    """

    family: ClassVar[str | None] = "easyrec.retrieval.metrics"
    better: ClassVar[Literal["higher", "lower"] | None] = "higher"

    type: str
    k: int = Field(10, gt=0)
    """Items that are found for each user."""
    name: str | None = None
    """What the metric is called in results. Default: `<type>@<k>`."""

    @property
    def key(self) -> str:
        """What the metric is called in results."""
        return self.name or f"{self.type}@{self.k}"

    @property
    def counted(self) -> bool:
        """Whether the metric must know how often each item is met in training."""
        return False

    @property
    def drawn(self) -> Drawn | None:
        """The items among which wanted ones are ranked; None: all."""
        return None


class Drawn(NamedTuple):
    """A few items that wanted ones are ranked among, drawn for each user.

    Attributes:
        negatives: How many.
        by: Whether all items are equally likely, or in proportion to how often they are met in training.
        seed: Where chance starts.
    """

    negatives: int
    by: Literal["uniform", "popularity"]
    seed: int


@dataclass(frozen=True)
class Found:
    """What was found for B users.

    Attributes:
        items: (B, K) int64, the best items first; -1 behind the last where there are fewer.
        ranks: (R,) int64, from 0, where the wanted items of all users stand among all items; -1 for those that the
            catalogue does not have.
        offsets: (B+1,) int64, whose they are.
        drawn: Their ranks among a few items, like `ranks`.
    """

    items: np.ndarray
    ranks: np.ndarray
    offsets: np.ndarray
    drawn: Mapping[Drawn, np.ndarray] = field(default_factory=dict)

    @property
    def wanted(self) -> np.ndarray:
        """(B,) int64, how many items each user wants."""
        return np.diff(self.offsets)

    def of(self, rows: np.ndarray) -> Found:
        """What was found for some of the users, by their ascending numbers."""
        wanted = self.wanted
        chosen = np.isin(np.repeat(np.arange(len(wanted)), wanted), rows)
        drawn = {key: ranks[chosen] for key, ranks in self.drawn.items()}
        return Found(self.items[rows], self.ranks[chosen], np.concatenate([[0], np.cumsum(wanted[rows])]), drawn)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """(B,) float64, the sums over each user's wanted items of `values`, (R,)."""
        before = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
        sums: np.ndarray = before[self.offsets[1:]] - before[self.offsets[:-1]]
        return sums

    def hits(self, k: int) -> np.ndarray:
        """(R,) bool, which wanted items are among the first k."""
        return (self.ranks >= 0) & (self.ranks < k)


class RetrievalMetric:
    """What is known of the users so far.

    Args:
        config: The metric's config.
        items: Items of the catalogue.
        counts: (N,) how often each is met in training; ones where the metric needs none.
    """

    def __init__(self, config: Any, items: int, counts: np.ndarray) -> None:
        self.config, self.items, self.counts = config, items, counts

    def update(self, found: Found) -> None:
        """Take in what was found for some users."""
        raise TypeError(f"{type(self).__name__} must define update")

    def merge(self, other: Self) -> None:
        """Take in all that `other` was fed."""
        raise TypeError(f"{type(self).__name__} must define merge")

    def compute(self) -> float:
        """The value; NaN of no users."""
        raise TypeError(f"{type(self).__name__} must define compute")


class ListMetric(RetrievalMetric):
    """A mean over users that want something; a metric defines `of_users`."""

    def __init__(self, config: Any, items: int, counts: np.ndarray) -> None:
        super().__init__(config, items, counts)
        self.total, self.users = 0.0, 0

    def of_users(self, found: Found) -> np.ndarray:
        """(B,), the value of each user; those that want nothing do not count."""
        raise TypeError(f"{type(self).__name__} must define of_users")

    def update(self, found: Found) -> None:
        """Add up the users' values."""
        some = found.wanted > 0
        self.total += float(self.of_users(found)[some].sum())
        self.users += int(some.sum())

    def merge(self, other: Self) -> None:
        """Add the sums."""
        self.total, self.users = self.total + other.total, self.users + other.users

    def compute(self) -> float:
        """The mean."""
        return self.total / self.users if self.users else float("nan")


def build(config: RetrievalConfig, items: int, counts: np.ndarray) -> RetrievalMetric:
    """A metric that was fed nothing."""
    return implementation("easyrec.retrieval.metrics", config.type, RetrievalMetric)(config, items, counts)
