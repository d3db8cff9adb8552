"""`stamp`: attention led by the newest step of the user's sequence, compared with the embeddings of items."""

from __future__ import annotations

from typing import Literal

from easyrec.models._sequential import Sequential, SequentialConfig


class Config(SequentialConfig):
    """Config of `stamp`."""

    type: Literal["stamp"] = "stamp"


class STAMP(Sequential):
    """Logit = <h_s * h_t, v> / T + b, with the memory of all steps h_s, the newest one h_t and the item's embedding v.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Liu et al., "STAMP: Short-Term Attention/Memory Priority Model for Session-based Recommendation", KDD 2018,
        section 3.
    """
