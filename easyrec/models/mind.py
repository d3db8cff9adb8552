"""`mind`: a user as several capsules of interest, of which the nearest to an item counts."""

from __future__ import annotations

from typing import Literal

from easyrec.models._interests import Interests, InterestsConfig


class Config(InterestsConfig):
    """Config of `mind`."""

    type: Literal["mind"] = "mind"


class MIND(Interests):
    """Logit = max_k <u_k, v> / T + b, the interests from dynamic routing.

    Training chooses the interest that is the nearest to the item, the paper's label-aware attention with a power that
    has no bound.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Li et al., "Multi-Interest Network with Dynamic Routing for Recommendation at Tmall", CIKM 2019, section 3.
    """
