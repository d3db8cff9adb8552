"""`sampled_recall`: the share of a user's wanted items that stand before most of a few drawn ones."""

from __future__ import annotations

from typing import Literal

from easyrec.retrieval.metrics._sampled import Sampled, SampledConfig
from easyrec.retrieval.metrics.recall import Recall


class Config(SampledConfig):
    """Config of `sampled_recall`."""

    type: Literal["sampled_recall"] = "sampled_recall"


class SampledRecall(Sampled, Recall):
    """`recall` among the drawn items and the wanted ones.

    Source:
        That it may order models otherwise than the same over all items: Krichene and Rendle, "On Sampled Metrics for Item
        Recommendation", KDD 2020.
    """
