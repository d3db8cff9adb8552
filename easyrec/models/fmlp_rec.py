"""`fmlp_rec`: filters over the frequencies of the user's sequence, compared with the embeddings of items."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from easyrec.config.steps import LearnedSteps
from easyrec.models._sequential import Sequential, SequentialConfig
from easyrec.modules.sequence._telling import PrefixEncoder


class Config(SequentialConfig):
    """Config of `fmlp_rec`."""

    type: Literal["fmlp_rec"] = "fmlp_rec"
    prefixes: int = Field(4, gt=0)
    """Steps of a user that a batch learns to tell, each by a pass over all before it; drawn anew in every epoch."""

    def learned_steps(self) -> LearnedSteps:
        """Some of the steps that another one precedes."""
        return LearnedSteps(most=self.prefixes)


class FMLPRec(Sequential):
    """Logit = <x_L, v> / T + b, with the filtered sequence's output x_L at the newest step and the item's embedding v.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Zhou et al., "Filter-enhanced MLP is All You Need for Sequential Recommendation", WWW 2022, section 3.
    """

    kind = PrefixEncoder
