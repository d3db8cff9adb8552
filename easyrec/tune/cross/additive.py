"""The model of the features that there are: a logistic regression over fields, fitted field by field."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from typing_extensions import Self

from easyrec.tune.cross.codes import Array, Term
from easyrec.tune.cross.probe import TINY, Rows, clipped, spread_of

SWEEPS = 6
NARROWEST = 1e-4
"""Variance of a field's weights at least."""


@dataclass
class Additive:
    """``logit = intercept + sum over fields of the weights of the row's codes``, each field with a prior of its own.

    Attributes:
        labels: (rows,) of all rows.
        fit: The rows that weights are fitted on.
        weight: (rows,) sample weights; None: all 1.
        fields: Codes by name, of all rows.
        weights: Of each field.
        logit: (rows,) of all rows.
    """

    labels: Array
    fit: slice
    weight: Array | None = None
    fields: dict[str, Term] = field(default_factory=dict)
    weights: dict[str, Array] = field(default_factory=dict)
    precisions: dict[str, float] = field(default_factory=dict)
    logit: Array = field(default_factory=lambda: np.zeros(0))

    @classmethod
    def of(cls, labels: Array, fit: slice, weight: Array | None, fields: Mapping[str, Term]) -> Self:
        """A model of some fields, fitted from nothing."""
        made = cls(labels, fit, weight, logit=np.zeros(len(labels)))
        own = None if weight is None else weight[fit]
        rate = float(np.clip(np.average(labels[fit], weights=own), 1e-6, 1 - 1e-6))
        made.logit += math.log(rate / (1.0 - rate))
        for name, codes in fields.items():
            made.add(name, codes)
        made.refit(SWEEPS)
        return made

    def rows(self, span: slice) -> Rows:
        """Labels and logits of a span."""
        return Rows(self.labels[span], self.logit[span], None if self.weight is None else self.weight[span])

    def copy(self) -> Self:
        """The same, to be changed alone."""
        return type(self)(
            self.labels,
            self.fit,
            self.weight,
            dict(self.fields),
            {name: weights.copy() for name, weights in self.weights.items()},
            dict(self.precisions),
            self.logit.copy(),
        )

    def add(self, name: str, codes: Term) -> None:
        """Add a field whose weights are 0."""
        self.fields[name], self.weights[name] = codes, np.zeros(codes.size)

    def remove(self, name: str) -> None:
        """Take a field out, and what it said."""
        self.logit -= self.fields.pop(name).sums(self.weights.pop(name))
        self.precisions.pop(name, None)

    def refit(self, sweeps: int = 1) -> None:
        """Newton steps, field by field, around and around."""
        for _ in range(sweeps):
            first, second = self.rows(self.fit).slope()
            self.logit += float(first.sum() / max(float(second.sum()), TINY))
            for name in self.fields:
                self._step(name)

    def _step(self, name: str) -> None:
        """A Newton step of a field; its prior is learned with it, by expectation and maximisation."""
        codes, weights = self.fields[name], self.weights[name]
        gradient, curvature, bound = codes.slice(self.fit).moments(*self.rows(self.fit).slope())
        precision = self.precisions.get(name)
        if precision is None:
            precision = 1.0 / max(spread_of(gradient, curvature), NARROWEST)
        step = clipped((gradient - precision * weights) / (bound + precision))
        step[0] = 0.0
        weights += step
        self.logit += codes.sums(step)
        seen = curvature[1:] > 0
        if seen.any():
            spread = float((weights[1:][seen] ** 2 + 1.0 / (curvature[1:][seen] + precision)).mean())
            self.precisions[name] = 1.0 / max(spread, NARROWEST)
