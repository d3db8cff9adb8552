"""`cin`: the compressed interaction network of xDeepFM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from easyrec.modules.blocks import LayerConfig, Takes
from easyrec.modules.blocks._block import Around, Block, Shape
from easyrec.modules.cin import CIN, CINConfig


class Config(CINConfig, LayerConfig):
    """Config of `cin`."""

    takes: ClassVar[Mapping[str, Takes]] = {"input": "fields"}

    type: Literal["cin"] = "cin"


class CINBlock(Block):
    """See `easyrec.modules.cin.CIN`.

    Shape:
        input: (B, F, D)
        output: (B, W), one number per feature map that is put out
    """

    def __init__(self, config: Config, around: Around, input: Shape) -> None:
        super().__init__(config, around)
        self.layer = CIN(input[0], config)
        self.shape = (self.layer.out,)

    def forward(self, input: Tensor) -> Tensor:
        """The sums of the maps."""
        return self.layer(input)  # type: ignore[no-any-return]
