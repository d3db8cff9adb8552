"""`multi_window_din`: an MLP over the group's features and the interests that windows of its sequences show."""

from __future__ import annotations

from typing import Literal

from easyrec.models._interest import Interest, InterestConfig


class Config(InterestConfig):
    """Config of `multi_window_din`."""

    type: Literal["multi_window_din"] = "multi_window_din"


class MultiWindowDIN(Interest):
    """Logit = MLP of the features, the dense inputs and one vector per sequence.

    Each sequence goes through its own encoder, by default target attention pooled over windows.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        The encoder of this name in TorchEasyRec.
    """
