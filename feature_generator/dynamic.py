"""The key `dynamic` of a feature of ids: a table whose rows are given to the ids that come."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from feature_generator.config import StrictModel, fault

KEYS = 2**62
"""Ids of a dynamic table are hashes modulo this: a table of `hash_bucket_size: n` with n a power of two has the same, modulo n."""


class AdmissionConfig(StrictModel):
    """Which ids get a row."""

    min_count: int = Field(1, ge=1, le=2**24)
    """Occurrences in training after which an id gets its row; from that step on it learns."""
    probability: float | None = Field(None, gt=0, le=1)
    """Instead of a count: every occurrence of an id without a row gives it one by this chance."""
    counter: Literal["exact", "sketch"] = "exact"
    """How occurrences are counted: per id, or by a count-min sketch, which may count too many."""
    size: int | None = Field(None, ge=1, le=2**40)
    """Ids that are counted at once, or counters in each of the sketch's four rows; default: the table's capacity."""

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if self.probability is not None and self.min_count > 1:
            raise ValueError("give min_count or probability, not both")
        for key in ("counter", "size"):
            if key in self.model_fields_set and (
                self.probability is not None or "min_count" not in self.model_fields_set
            ):
                raise fault(f"'{key}' is about counting, and nothing is counted here: give min_count", key)
        return self


class EvictionConfig(StrictModel):
    """Which ids lose their row to others when all rows are taken."""

    policy: Literal["lru", "lfu", "score", "ttl"] = "lru"
    """Those not seen for longest; those seen least; those with the least decayed count; `ttl`: those not seen for `ttl` steps,
    within an eighth of these, and those not seen for longest when all rows are taken."""
    ttl: int | None = Field(None, ge=1, lt=2**31)
    """Of `ttl`: steps of training that an id keeps its row without being seen."""
    half_life: int | None = Field(None, ge=1, lt=2**31)
    """Of `score`: steps in which a count halves."""

    @model_validator(mode="after")
    def _what_the_policy_needs(self) -> Self:
        for key, policy in (("ttl", "ttl"), ("half_life", "score")):
            given = getattr(self, key) is not None
            if self.policy == policy and not given:
                raise ValueError(f"policy '{policy}' needs '{key}', a number of training steps")
            if self.policy != policy and given:
                raise ValueError(f"'{key}' goes with policy '{policy}', not '{self.policy}'")
        return self


class DynamicConfig(StrictModel):
    """A table of given size for ids that nobody has counted."""

    capacity: int = Field(ge=1, lt=2**31)
    """Rows of the table: ids that are known at once."""
    admission: AdmissionConfig = AdmissionConfig()
    """Which ids get a row; default: all."""
    eviction: EvictionConfig = EvictionConfig()
    """Which ids lose their row when all are taken; default: those not seen for longest."""
