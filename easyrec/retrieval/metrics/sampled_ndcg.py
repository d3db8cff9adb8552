"""`sampled_ndcg`: how far up the wanted items stand among a few drawn ones."""

from __future__ import annotations

from typing import Literal

from easyrec.retrieval.metrics._sampled import Sampled, SampledConfig
from easyrec.retrieval.metrics.ndcg import NDCG


class Config(SampledConfig):
    """Config of `sampled_ndcg`."""

    type: Literal["sampled_ndcg"] = "sampled_ndcg"


class SampledNDCG(Sampled, NDCG):
    """`ndcg` among the drawn items and the wanted ones.

    Source:
        That it may order models otherwise than the same over all items: Krichene and Rendle, "On Sampled Metrics for Item
        Recommendation", KDD 2020.
    """
