"""Numeric embeddings: numbers become fields by a module of the model, `dense_embedding` of a feature.

The contract of the family: `easyrec/modules/numeric/<type>.py` holds the `Config` over `NumericConfig`, and one class
over `NumericEmbedding`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from easyrec.config.family import implementation
from easyrec.config.numeric import NumericConfig

if TYPE_CHECKING:
    from easyrec.config.model import Init
    from easyrec.modules.numeric._embedding import NumericEmbedding

__all__ = ["NumericConfig", "NumericEmbedding", "build"]


def build(config: NumericConfig, sizes: Sequence[int], dim: int, init: Init) -> NumericEmbedding:
    """A fresh module.

    Args:
        config: The kind and its keys.
        sizes: How many numbers each field has.
        dim: D, the width of their embeddings.
        init: How the vectors start.
    """
    from easyrec.modules.numeric._embedding import NumericEmbedding as Base  # noqa: PLC0415 (torch stays out until used)

    return implementation("easyrec.modules.numeric", config.type, Base)(config, sizes, dim, init)


def __getattr__(name: str) -> Any:
    if name == "NumericEmbedding":
        from easyrec.modules.numeric._embedding import NumericEmbedding  # noqa: PLC0415 (torch stays out until asked)

        return NumericEmbedding
    raise AttributeError(f"module 'easyrec.modules.numeric' has no attribute '{name}'")
