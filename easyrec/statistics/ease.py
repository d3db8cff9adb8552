"""`ease`: each item told from all others by a ridge regression, in closed form."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import Field

from easyrec.config.statistic import StatisticConfig
from easyrec.statistics import _kernels
from easyrec.statistics._statistic import Links, Statistic, Taken


class Config(StatisticConfig):
    """Config of `ease`."""

    type: Literal["ease"] = "ease"
    l2: float = Field(500.0, gt=0.0)
    """Strength of the regularizer."""
    neighbours: int | None = Field(None, gt=0)
    """Items that each item keeps, those of the largest weights; null: all, a matrix of N x N."""


class EASE(Statistic):
    """``S = argmin |X - X S|^2 + l2 |S|^2`` with S_ii = 0: ``S = I - P diag(P)^-1``, ``P = (X'X + l2 I)^-1``.

    X (U, N) is 1 where a user took an item. In float64, in memory of about 16 N^2 bytes and time of about N^3.

    Source:
        Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019, eq. (8).
    """

    def links(self, taken: Taken) -> Links:
        """S."""
        users = taken.distinct()
        items, counts = users.by_item(), np.empty((taken.num_items, taken.num_items))
        _kernels.together(users.offsets, users.items, items.offsets, items.items, self.threads, counts)
        gram = torch.from_numpy(counts)
        gram.diagonal().add_(self.config.l2)
        factor = torch.linalg.cholesky(gram)
        del gram, counts
        found = torch.cholesky_inverse(factor)
        del factor
        found.div_(-found.diagonal().clone()).fill_diagonal_(0.0)
        values = found.numpy().astype(np.float32, order="C")
        if self.config.neighbours is None:
            return Links(values)
        return Links.largest(values, self.config.neighbours, np.abs(values))
