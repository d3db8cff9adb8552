"""`sim`: an MLP over the group's features and what a search finds in long sequences."""

from __future__ import annotations

from typing import Literal

from easyrec.models._interest import Interest, InterestConfig


class Config(InterestConfig):
    """Config of `sim`."""

    type: Literal["sim"] = "sim"


class SIM(Interest):
    """Logit = MLP of the features, the dense inputs and one vector per sequence.

    Each sequence goes through its own encoder, by default attention over the newest steps of the candidate's category.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Qi et al., "Search-based User Interest Modeling with Lifelong Sequential Behavior Data for Click-Through Rate
        Prediction", CIKM 2020, section 3.
    """
