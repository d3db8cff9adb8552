"""Which steps of a sequence a model learns to tell."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LearnedSteps:
    """Steps at which a batch's users are compared with items; by default every step after a row's first.

    Attributes:
        most: Of these no more than so many of a row, drawn at random.
        share: This share of all steps instead, drawn at random; at least one of a row with two or more, none of others.
        last: Probability that of such a row the newest step alone is taken.
    """

    most: int | None = None
    share: float | None = None
    last: float = 0.0
