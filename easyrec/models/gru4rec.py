"""`gru4rec`: gated recurrent units over the user's sequence, compared with the embeddings of items."""

from __future__ import annotations

from typing import Literal

from easyrec.models._sequential import Sequential, SequentialConfig


class Config(SequentialConfig):
    """Config of `gru4rec`."""

    type: Literal["gru4rec"] = "gru4rec"


class GRU4Rec(Sequential):
    """Logit = <W h_L + b, v> / T + b', with the state h_L after the newest step and the item's embedding v.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Hidasi et al., "Session-based Recommendations with Recurrent Neural Networks", ICLR 2016.
    """
