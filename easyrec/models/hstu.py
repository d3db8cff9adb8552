"""`hstu`: gated pointwise attention over the user's sequence, compared with the embeddings of items."""

from __future__ import annotations

from typing import Literal

from easyrec.models._sequential import Sequential, SequentialConfig


class Config(SequentialConfig):
    """Config of `hstu`."""

    type: Literal["hstu"] = "hstu"


class HSTU(Sequential):
    """Logit = <x_L, v> / T + b, with the transducer's output x_L at the newest step and the item's embedding v.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Zhai et al., "Actions Speak Louder than Words: Trillion-Parameter Sequential Transducers for Generative
        Recommendations", ICML 2024, section 3.
    """
