"""`dmin`: an MLP over the group's features and several interests of each sequence."""

from __future__ import annotations

from typing import Literal

from easyrec.models._interest import Interest, InterestConfig


class Config(InterestConfig):
    """Config of `dmin`."""

    type: Literal["dmin"] = "dmin"


class DMIN(Interest):
    """Logit = MLP of the features, the dense inputs and one vector per sequence.

    Each sequence goes through its own encoder, by default several attentions among its steps.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Xiao et al., "Deep Multi-Interest Network", CIKM 2020, section 3.
    """
