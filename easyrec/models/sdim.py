"""`sdim`: an MLP over the group's features and long sequences, weighted by hash collisions with the candidate."""

from __future__ import annotations

from typing import Literal

from easyrec.models._interest import Interest, InterestConfig


class Config(InterestConfig):
    """Config of `sdim`."""

    type: Literal["sdim"] = "sdim"


class SDIM(Interest):
    """Logit = MLP of the features, the dense inputs and one vector per sequence.

    Each sequence goes through its own encoder, by default a sum weighted by hash collisions.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Cao et al., "Sampling Is All You Need on Modeling Long-Term User Behaviors for CTR Prediction", CIKM 2022,
        section 4.
    """
