"""Composed embeddings: made of smaller tables by a module of the model, `model.compress`.

The contract of the family: `easyrec/modules/compress/<type>.py` holds the `Config` over `CompositionConfig`, which says
which tables there are, and one class over `Composition`, which makes embeddings of what these give.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from easyrec.config.compress import COMPOSITIONS, CompositionConfig
from easyrec.config.family import implementation

if TYPE_CHECKING:
    from easyrec.modules.compress._composition import Composition

__all__ = ["CompositionConfig", "build"]


def build(config: CompositionConfig, dims: tuple[int, ...], dim: int) -> Composition:
    """A fresh module.

    Args:
        config: The kind and its keys.
        dims: Widths of what the tables give.
        dim: D, the width of the embedding.
    """
    from easyrec.modules.compress._composition import Composition as Base  # noqa: PLC0415 (torch stays out until used)

    return implementation(COMPOSITIONS, config.type, Base)(config, dims, dim)
