"""`sasrec`: a causal transformer over the user's sequence, compared with the embeddings of items."""

from __future__ import annotations

from typing import Literal

from easyrec.models._sequential import Sequential, SequentialConfig


class Config(SequentialConfig):
    """Config of `sasrec`."""

    type: Literal["sasrec"] = "sasrec"


class SASRec(Sequential):
    """Logit = <x_L, v> / T + b, with the transformer's output x_L at the newest step and the item's embedding v.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018, section 3.
    """
