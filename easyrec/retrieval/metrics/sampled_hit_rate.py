"""`sampled_hit_rate`: the share of users of whom a wanted item stands before most of a few drawn ones."""

from __future__ import annotations

from typing import Literal

from easyrec.retrieval.metrics._sampled import Sampled, SampledConfig
from easyrec.retrieval.metrics.hit_rate import HitRate


class Config(SampledConfig):
    """Config of `sampled_hit_rate`."""

    type: Literal["sampled_hit_rate"] = "sampled_hit_rate"


class SampledHitRate(Sampled, HitRate):
    """`hit_rate` among the drawn items and the wanted ones.

    Source:
        That it may order models otherwise than the same over all items: Krichene and Rendle, "On Sampled Metrics for Item
        Recommendation", KDD 2020.
    """
