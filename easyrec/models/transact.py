"""`transact`: an MLP over the group's features and a transformer over the newest steps with the candidate beside each."""

from __future__ import annotations

from typing import Literal

from easyrec.models._interest import Interest, InterestConfig


class Config(InterestConfig):
    """Config of `transact`."""

    type: Literal["transact"] = "transact"


class TransAct(Interest):
    """Logit = MLP of the features, the dense inputs and one vector per sequence.

    Each sequence goes through its own encoder, by default a transformer over its newest steps.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Xia et al., "TransAct", KDD 2023, section 3.
    """
