"""Layers over the fields of a group, before any model reads them: `feature_wise` of a group.

The contract of the family: `easyrec/modules/feature_wise/<type>.py` holds the layer's `Config` over
`FeatureWiseConfig`, and one class over `FeatureWise`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from easyrec.config.family import implementation
from easyrec.config.model import FeatureWiseConfig

if TYPE_CHECKING:
    from easyrec.modules.feature_wise._layer import FeatureWise

__all__ = ["FeatureWise", "FeatureWiseConfig", "build"]


def build(config: FeatureWiseConfig, dims: Sequence[int]) -> FeatureWise:
    """A fresh layer over fields of these dims."""
    from easyrec.modules.feature_wise._layer import FeatureWise as Base  # noqa: PLC0415 (torch stays out until used)

    return implementation("easyrec.modules.feature_wise", config.type, Base)(config, dims)


def __getattr__(name: str) -> Any:
    if name == "FeatureWise":
        from easyrec.modules.feature_wise._layer import FeatureWise  # noqa: PLC0415 (torch stays out until asked for)

        return FeatureWise
    raise AttributeError(f"module 'easyrec.modules.feature_wise' has no attribute '{name}'")
