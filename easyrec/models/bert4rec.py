"""`bert4rec`: a transformer that fills gaps in the user's sequence, compared with the embeddings of items."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from easyrec.config.steps import LearnedSteps
from easyrec.models._sequential import Sequential, SequentialConfig
from easyrec.modules.sequence.bert4rec import BERT4Rec as Encoder


class Config(SequentialConfig):
    """Config of `bert4rec`."""

    type: Literal["bert4rec"] = "bert4rec"
    mask: float = Field(0.2, gt=0.0, lt=1.0)
    """Share of a user's steps that are hidden and learned in a batch; drawn anew in every epoch."""
    last: float = Field(0.1, ge=0.0, le=1.0)
    """Probability that of a user the newest step alone is hidden, as when the next one is asked for."""

    def learned_steps(self) -> LearnedSteps:
        """The hidden ones."""
        return LearnedSteps(share=self.mask, last=self.last)


class BERT4Rec(Sequential):
    """Logit = <u, v> / T + b, with what the transformer tells of a hidden step behind the newest, u, and the item v.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Sun et al., "BERT4Rec: Sequential Recommendation with Bidirectional Encoder Representations from Transformer",
        CIKM 2019, section 3.
    """

    kind = Encoder
