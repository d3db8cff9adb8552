"""`twin`: an MLP over the group's features and long sequences, searched by the attention that then reads them."""

from __future__ import annotations

from typing import Literal

from easyrec.models._interest import Interest, InterestConfig


class Config(InterestConfig):
    """Config of `twin`."""

    type: Literal["twin"] = "twin"


class TWIN(Interest):
    """Logit = MLP of the features, the dense inputs and one vector per sequence.

    Each sequence goes through its own encoder, by default attention over the steps that it scores
    highest.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Chang et al., "TWIN: TWo-stage Interest Network for Lifelong User Behavior Modeling in CTR Prediction at
        Kuaishou", KDD 2023, section 4.
    """
