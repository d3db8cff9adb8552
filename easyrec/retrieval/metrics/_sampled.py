"""Metrics of ranks among a few drawn items, to compare with results that were measured so: see the names that say it."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from easyrec.retrieval.metrics import Drawn, Found, ListMetric, RetrievalConfig


class SampledConfig(RetrievalConfig):
    """Keys of these metrics."""

    negatives: int = Field(100, gt=0)
    """Items that a user's wanted ones are ranked among: each once, none that the user wants or is spared."""
    by: Literal["uniform", "popularity"] = "uniform"
    """How they are drawn: all equally likely, or in proportion to how often they are met in training."""
    seed: int = Field(0, ge=0)
    """Where chance starts: the same for every evaluation."""

    @model_validator(mode="after")
    def _some_are_left(self) -> Self:
        if self.k > self.negatives:
            raise ValueError(f"all of {self.negatives} negatives and what is wanted are among the first {self.k}")
        return self

    @property
    def key(self) -> str:
        """The number of negatives is told too."""
        return self.name or f"{self.type}@{self.k}/{self.negatives}" + "/popularity" * (self.by == "popularity")

    @property
    def counted(self) -> bool:
        """Where popular items are drawn more often."""
        return self.by == "popularity"

    @property
    def drawn(self) -> Drawn:
        """What is drawn; equal draws are made once."""
        return Drawn(self.negatives, self.by, self.seed)


class Sampled(ListMetric):
    """Stands before a metric of ranks, to give it those among the drawn items."""

    def update(self, found: Found) -> None:
        """Add up the users' values."""
        super().update(replace(found, ranks=found.drawn[self.config.drawn]))
