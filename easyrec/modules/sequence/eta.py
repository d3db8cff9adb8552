"""`eta`: target attention over the steps whose SimHash is nearest to the candidate's."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from easyrec.config.model import EncoderConfig
from easyrec.layout import Search
from easyrec.modules.sequence.target_attention import TargetAttention


class Config(EncoderConfig):
    """Config of `eta`."""

    type: Literal["eta"] = "eta"
    by: str | None = None
    """Child whose embeddings are hashed. Default: of those that share a table with the candidate, the one with the most
    ids."""
    top: int = Field(50, gt=0)
    """How many steps are kept at most."""
    bits: int = Field(64, ge=1, le=64)
    """Length of the hash."""
    seed: int = Field(0, ge=0)
    """Decides the directions of the hash."""
    heads: int = Field(4, ge=0)
    """Heads of the attention over the found steps; 0: without learned projections."""

    @property
    def search(self) -> Search:
        """What the embedding lookup does."""
        return Search("hash", self.top, self.by, self.bits, self.seed)


class ETA(TargetAttention):
    """``[sum_l a^h_l V_h s_l]_h W`` over the found steps l, with ``a^h = softmax((Q_h q) . (K_h s_l) / sqrt(d))``.

    Found are the steps whose code ``sign(H e)``, of the embedding e of one child, has the least Hamming distance to the
    candidate's. The search is done by the embedding lookup, which keeps the code of every row of the table and renews it
    when the row moves.

    Source:
        Chen et al., "End-to-End User Behavior Retrieval in Click-Through Rate Prediction Model", arXiv 2108.04468,
        sections 3.2 and 3.3.
    """
