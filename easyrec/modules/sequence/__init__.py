"""Sequence encoders: a row's steps become one vector.

The contract of the family: `easyrec/modules/sequence/<type>.py` holds the encoder's `Config` over `EncoderConfig`, and
one class over `SequenceEncoder`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from easyrec.config.family import implementation
from easyrec.config.model import EncoderConfig

if TYPE_CHECKING:
    from easyrec.layout import SequenceLayout
    from easyrec.modules.sequence._encoder import SequenceEncoder

__all__ = ["EncoderConfig", "SequenceEncoder", "build"]


def build(config: EncoderConfig, layout: SequenceLayout) -> SequenceEncoder:
    """A fresh encoder.

    Raises:
        ConfigError: The encoder compares steps with a candidate, and no child of the sequence has one.
    """
    from easyrec.modules.sequence._encoder import SequenceEncoder as Base  # noqa: PLC0415 (torch stays out until used)

    return implementation("easyrec.modules.sequence", config.type, Base)(config, layout)


def __getattr__(name: str) -> Any:
    if name == "SequenceEncoder":
        from easyrec.modules.sequence._encoder import SequenceEncoder  # noqa: PLC0415 (torch stays out until asked for)

        return SequenceEncoder
    raise AttributeError(f"module 'easyrec.modules.sequence' has no attribute '{name}'")
