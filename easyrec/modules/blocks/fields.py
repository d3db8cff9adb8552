"""`fields`: the embeddings of a group's features, one beside the other."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse
from easyrec.modules.blocks import GroupBlockConfig
from easyrec.modules.blocks._block import Around, Block, Reader


class Config(GroupBlockConfig):
    """Config of `fields`."""

    type: Literal["fields"] = "fields"

    def use(self) -> tuple[str, GroupUse]:
        """Embeddings of equal dims."""
        return self.group, GroupUse(equal_dims=True)


class Fields(Block):
    """The group's fields; an encoded sequence is one field per child.

    Shape:
        output: (B, F, D)
    """

    reads = True

    def __init__(self, config: Config, around: Around) -> None:
        super().__init__(config, around)
        self.shape = (around.model.num_fields(config.group), around.model.dim(config.group))

    def forward(self, model: Reader, x: Embedded) -> Tensor:
        """The fields."""
        return model.fields(x, self.config.group)
