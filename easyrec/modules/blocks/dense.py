"""`dense`: the numeric inputs of a group."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse
from easyrec.errors import ConfigError
from easyrec.modules.blocks import GroupBlockConfig
from easyrec.modules.blocks._block import Around, Block, Reader


class Config(GroupBlockConfig):
    """Config of `dense`."""

    type: Literal["dense"] = "dense"

    def use(self) -> tuple[str, GroupUse]:
        """No embeddings."""
        return self.group, GroupUse(fields=False)


class Dense(Block):
    """The group's `raw` features without an embedding.

    Shape:
        output: (B, n)
    """

    reads = True

    def __init__(self, config: Config, around: Around) -> None:
        super().__init__(config, around)
        self.shape = (around.model.layouts[config.group].dense_width,)
        if self.shape == (0,):
            raise ConfigError(
                f"group '{config.group}' has no numeric inputs: they are raw features without boundaries and embedding_dim"
            )

    def forward(self, model: Reader, x: Embedded) -> Tensor:
        """The numbers."""
        return x.dense(self.config.group)
