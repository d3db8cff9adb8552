"""`sim`: target attention over the steps that a search finds, by category or by the embeddings' inner product."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from easyrec.config.model import EncoderConfig
from easyrec.layout import Search
from easyrec.modules.sequence.target_attention import TargetAttention


class Config(EncoderConfig):
    """Config of `sim`."""

    type: Literal["sim"] = "sim"
    mode: Literal["hard", "soft"] = "hard"
    """How steps are found: `hard`, the newest that share an id with the candidate; `soft`, the largest inner product."""
    by: str | None = None
    """Child that is compared. Default: of those that share a table with the candidate, the one with the fewest ids for
    `hard`, with the most for `soft`."""
    top: int = Field(50, gt=0)
    """How many steps are kept at most."""
    heads: int = Field(4, ge=0)
    """Heads of the attention over the found steps; 0: without learned projections."""

    @property
    def search(self) -> Search:
        """What the embedding lookup does."""
        return Search(self.mode, self.top, self.by)


class SIM(TargetAttention):
    """``[sum_l a^h_l V_h s_l]_h W`` over the found steps l, with ``a^h = softmax((Q_h q) . (K_h s_l) / sqrt(d))``.

    The search is done by the embedding lookup, before anything is looked up: only the steps that it finds are read,
    reach the model and are trained.

    Source:
        Qi et al., "Search-based User Interest Modeling with Lifelong Sequential Behavior Data for Click-Through Rate
        Prediction", CIKM 2020, eq. (1), (6) and (7).
    """
