"""`dmr`: an MLP over the group's features and how near the candidate is to the user and to each step."""

from __future__ import annotations

from typing import Literal

from easyrec.models._interest import Interest, InterestConfig


class Config(InterestConfig):
    """Config of `dmr`."""

    type: Literal["dmr"] = "dmr"


class DMR(Interest):
    """Logit = MLP of the features, the dense inputs and one vector per sequence.

    Each sequence goes through its own encoder, by default both networks of the paper.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Lyu et al., "Deep Match to Rank Model", AAAI 2020, section 3.
    """
