"""`field`: the embedding of one feature, by its name."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse
from easyrec.errors import ConfigError, nearest
from easyrec.modules.blocks import GroupBlockConfig
from easyrec.modules.blocks._block import Around, Block, Reader


class Config(GroupBlockConfig):
    """Config of `field`."""

    type: Literal["field"] = "field"
    feature: str
    """Name of the feature."""

    def use(self) -> tuple[str, GroupUse]:
        """Embeddings of any dims."""
        return self.group, GroupUse()


class Field(Block):
    """One field of the group.

    Shape:
        output: (B, D)
    """

    reads = True

    def __init__(self, config: Config, around: Around) -> None:
        super().__init__(config, around)
        dims = {span.name: span.dim for span in around.model.layouts[config.group].fields}
        if config.feature not in dims:
            hint = nearest(config.feature, dims)
            raise ConfigError(
                f"group '{config.group}' has no field '{config.feature}'{hint}\nit has: {', '.join(dims) or 'none'}"
            )
        self.shape = (dims[config.feature],)

    def forward(self, model: Reader, x: Embedded) -> Tensor:
        """The embedding."""
        return x.feature(self.config.group, self.config.feature)
