"""`bst`: an MLP over the group's features and a transformer over each sequence and the candidate."""

from __future__ import annotations

from typing import Literal

from easyrec.models._interest import Interest, InterestConfig


class Config(InterestConfig):
    """Config of `bst`."""

    type: Literal["bst"] = "bst"


class BST(Interest):
    """Logit = MLP of the features, the dense inputs and one vector per sequence.

    Each sequence goes through its own encoder, by default a transformer.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Chen et al., "Behavior Sequence Transformer", DLP-KDD 2019, section 2.
    """
