"""Ranked lists: the rows of each group, by falling score."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from easyrec.metrics._metric import Kept, ListConfig
from easyrec.metrics._ranking import ordered_bits


class RelevanceConfig(ListConfig):
    """What the config of a metric of positive rows in ranked lists has."""

    task_types: ClassVar[frozenset[str]] = frozenset({"binary"})
    better: ClassVar[Literal["higher", "lower"] | None] = "higher"


@dataclass(frozen=True)
class Lists:
    """n rows, list by list, each by falling score; of equal scores the lower label comes first.

    Attributes:
        labels: (n,) float64.
        position: (n,) in its list, from 0.
        list: (n,) number of its list, 0 .. G-1, ascending.
        weight: (G,) of each list: the mean weight of its rows.
        order: (n,) which of the given rows it is.
    """

    labels: np.ndarray
    position: np.ndarray
    list: np.ndarray
    weight: np.ndarray
    order: np.ndarray

    @staticmethod
    def of(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None, groups: np.ndarray) -> Lists:
        """Rank rows; those of weight 0 are left out.

        Args:
            labels: (n,).
            scores: (n,) float32, no NaN.
            weights: (n,), or None for ones.
            groups: (n,) int64, equal in rows of one list.
        """
        order = np.lexsort((labels, ~ordered_bits(scores), groups))
        if weights is not None:
            order = order[weights[order] > 0]
        sorted_ = groups[order]
        starts = np.flatnonzero(np.concatenate(([True], sorted_[1:] != sorted_[:-1]))[: len(order)])
        sizes = np.diff(np.append(starts, len(order)))
        number = np.repeat(np.arange(len(starts)), sizes)
        weight = np.ones(len(starts))
        if weights is not None:
            weight = np.bincount(number, weights[order], len(starts)) / sizes
        position = np.arange(len(order)) - np.repeat(starts, sizes)
        return Lists(labels[order].astype(np.float64), position, number, weight, order)

    def sum(self, values: np.ndarray) -> np.ndarray:
        """(G,), the sums over each list of the (n,) values."""
        return np.bincount(self.list, values, len(self.weight))


class ListMetric(Kept):
    """Base of metrics of lists: the mean over the lists where the metric is defined.

    A list counts by the mean sample weight of its rows. Ties count against the model: of equal scores the row with
    the lower label comes first, so that a constant score earns nothing by its rows' order.
    """

    @abstractmethod
    def of_lists(self, lists: Lists) -> tuple[np.ndarray, np.ndarray]:
        """(G,) values, and where they are defined."""

    def compute(self) -> float:
        """The mean; NaN where no list has a value."""
        rows = self.rows()
        if rows is None:
            return float("nan")
        lists = Lists.of(*rows, self.codes(self.config.by))
        values, defined = self.of_lists(lists)
        if not defined.any():
            return float("nan")
        return float(np.average(values[defined], weights=lists.weight[defined]))

    def inside(self, lists: Lists) -> np.ndarray:
        """(n,) bool, the rows that count."""
        return lists.position < (self.config.k or len(lists.position))


class RelevanceMetric(ListMetric):
    """Base of metrics of positive rows; lists without any are left out."""

    def label(self, labels: np.ndarray) -> np.ndarray:
        """One byte a row."""
        return np.asarray(labels != 0)

    @abstractmethod
    def of_positives(self, lists: Lists, number: np.ndarray) -> np.ndarray:
        """(G,) values of lists with ``number`` (G,) positive rows; what it gives for those without is not read."""

    def of_lists(self, lists: Lists) -> tuple[np.ndarray, np.ndarray]:
        """(G,) values, and which lists have a positive row."""
        number = lists.sum(lists.labels)
        return self.of_positives(lists, np.maximum(number, 1.0)), number > 0
