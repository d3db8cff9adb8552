"""`comirec`: a user as several interests, of which the nearest to an item counts."""

from __future__ import annotations

from typing import Literal

from easyrec.models._interests import Interests, InterestsConfig


class Config(InterestsConfig):
    """Config of `comirec`."""

    type: Literal["comirec"] = "comirec"


class ComiRec(Interests):
    """Logit = max_k <u_k, v> / T + b, the interests from self-attention or dynamic routing.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Cen et al., "Controllable Multi-Interest Framework for Recommendation", KDD 2020, section 3.
    """
