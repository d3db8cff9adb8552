"""`eta`: an MLP over the group's features and the steps of long sequences that hash like the candidate."""

from __future__ import annotations

from typing import Literal

from easyrec.models._interest import Interest, InterestConfig


class Config(InterestConfig):
    """Config of `eta`."""

    type: Literal["eta"] = "eta"


class ETA(Interest):
    """Logit = MLP of the features, the dense inputs and one vector per sequence.

    Each sequence goes through its own encoder, by default attention over the steps of the nearest hash.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Chen et al., "End-to-End User Behavior Retrieval in Click-Through Rate Prediction Model", arXiv 2108.04468,
        section 3.
    """
