"""`narm`: recurrent units with attention over the user's sequence, compared with the embeddings of items."""

from __future__ import annotations

from typing import Literal

from easyrec.models._sequential import Sequential, SequentialConfig


class Config(SequentialConfig):
    """Config of `narm`."""

    type: Literal["narm"] = "narm"


class NARM(Sequential):
    """Logit = <B [h_L, c_L], v> / T + b, with the newest state h_L, what it finds in all states, c_L, and the item v.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Li et al., "Neural Attentive Session-based Recommendation", CIKM 2017, section 3.
    """
