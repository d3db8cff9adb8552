"""`din`: an MLP over the group's features and the interests that its sequences show in the candidate."""

from __future__ import annotations

from typing import Literal

from easyrec.models._interest import Interest, InterestConfig


class Config(InterestConfig):
    """Config of `din`."""

    type: Literal["din"] = "din"


class DIN(Interest):
    """Logit = MLP of the features, the dense inputs and one vector per sequence.

    Each sequence goes through its own encoder, by default target attention.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Zhou et al., "Deep Interest Network", KDD 2018, section 4.
    """
