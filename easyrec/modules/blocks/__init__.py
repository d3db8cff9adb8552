"""Blocks of a model that is composed in YAML: the nodes of its graph.

The contract of the family: `easyrec/modules/blocks/<type>.py` holds the block's `Config` over `LayerConfig` (it reads
other blocks) or `GroupBlockConfig` (it reads a feature group), and one class over `Block`. `Config.takes` says how each
key that names inputs wants them; the class is told their shapes and tells its own, so that a graph is checked before
any row flows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from easyrec.modules.blocks._config import (
    BLOCKS,
    AnyBlock,
    BlockConfig,
    GroupBlockConfig,
    LayerConfig,
    Takes,
    Wires,
    parts,
)

if TYPE_CHECKING:
    from easyrec.modules.blocks._block import Block

__all__ = ["BLOCKS", "AnyBlock", "Block", "BlockConfig", "GroupBlockConfig", "LayerConfig", "Takes", "Wires", "parts"]


def __getattr__(name: str) -> Any:
    if name == "Block":
        from easyrec.modules.blocks._block import Block  # noqa: PLC0415 (torch stays out until it is asked for)

        return Block
    raise AttributeError(f"module 'easyrec.modules.blocks' has no attribute '{name}'")
