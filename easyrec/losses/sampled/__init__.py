"""Losses of a position and its candidates: its own item, and others that stand for all items.

The contract of the family: `easyrec/losses/sampled/<type>.py` holds the loss's `Config` over `SampledLossConfig`, and one
class over `SampledLoss`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from easyrec.config.family import implementation
from feature_generator.config import StrictModel

if TYPE_CHECKING:
    from easyrec.losses.sampled._loss import SampledLoss

__all__ = ["SampledLossConfig", "build"]


class SampledLossConfig(StrictModel):
    """What the config of every such loss has; a loss's own `Config` derives from it.

    Attributes:
        corrected: Whether logits are lowered by the log of how likely their items are candidates, unless the sampler
            says otherwise.
    """

    corrected: ClassVar[bool] = False
    family: ClassVar[str | None] = "easyrec.losses.sampled"

    type: str


def build(config: SampledLossConfig, items: int) -> SampledLoss:
    """A loss.

    Args:
        config: Its config.
        items: Items of the catalogue.
    """
    from easyrec.losses.sampled._loss import SampledLoss as Base  # noqa: PLC0415 (torch stays out until it is built)

    return implementation("easyrec.losses.sampled", config.type, Base)(config, items)
