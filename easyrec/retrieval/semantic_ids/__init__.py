"""Semantic ids: items as a few codes each, so that items of like vectors share their first codes.

The contract of the family: `easyrec/retrieval/semantic_ids/<type>.py` holds the quantizer's `Config` over
`QuantizerConfig`, and one class over `Quantizer`. Same config and vectors, same codes. Importing this loads neither torch
nor FAISS.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from easyrec.config.family import implementation
from feature_generator.config import StrictModel

__all__ = ["Quantized", "Quantizer", "QuantizerConfig", "build"]


class QuantizerConfig(StrictModel):
    """What the config of every quantizer has; a quantizer's own `Config` derives from it."""

    family: ClassVar[str | None] = "easyrec.retrieval.semantic_ids"

    type: str
    levels: int = Field(3, gt=0)
    """Codes of an item, before the one that tells items of equal codes apart."""
    codes: int = Field(256, gt=1)
    """Codes of a level."""
    seed: int = Field(0, ge=0)
    """Where chance starts."""


@dataclass(frozen=True)
class Quantized:
    """What became of N vectors.

    Attributes:
        codes: (N, M) int64, the codes of each, level by level.
        unexplained: (M,) the share of the vectors' variance that is not in what is rebuilt of the first 1, 2, .. codes.
    """

    codes: np.ndarray
    unexplained: np.ndarray


class Quantizer:
    """Makes codes of vectors; a quantizer defines `quantize`.

    Args:
        config: The quantizer's config.
    """

    def __init__(self, config: Any) -> None:
        self.config = config

    def quantize(self, vectors: np.ndarray) -> Quantized:
        """Learn from vectors, (N, D) float32 with N at least the codes of a level, and give their codes."""
        raise TypeError(f"{type(self).__name__} must define quantize")


def build(config: QuantizerConfig) -> Quantizer:
    """A quantizer."""
    return implementation("easyrec.retrieval.semantic_ids", config.type, Quantizer)(config)
