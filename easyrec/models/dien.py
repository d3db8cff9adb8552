"""`dien`: an MLP over the group's features and the interests that evolve along its sequences."""

from __future__ import annotations

from typing import Literal

from easyrec.models._interest import Interest, InterestConfig


class Config(InterestConfig):
    """Config of `dien`."""

    type: Literal["dien"] = "dien"


class DIEN(Interest):
    """Logit = MLP of the features, the dense inputs and one vector per sequence.

    Each sequence goes through its own encoder, by default recurrent units that attend to the candidate.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Zhou et al., "Deep Interest Evolution Network", AAAI 2019, section 3.
    """
