"""`mask_block`: a layer over a vector that another one masks, as in MaskNet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor

from easyrec.modules.activation import Activation
from easyrec.modules.blocks import LayerConfig, Takes, Wires
from easyrec.modules.blocks._block import Around, Block, Shape
from easyrec.modules.mask_block import MaskBlock


class Config(LayerConfig):
    """Config of `mask_block`."""

    takes: ClassVar[Mapping[str, Takes]] = {"input": "vector", "mask": "vector"}
    optional: ClassVar[frozenset[str]] = frozenset({"mask"})

    type: Literal["mask_block"] = "mask_block"
    mask: Annotated[Any, Wires()] = None
    """Blocks of which the mask is made; omitted: the input itself."""
    units: int = Field(gt=0)
    """Width of the output."""
    reduction: float = Field(2.0, gt=0.0)
    """Width of the mask's hidden layer, as a multiple of the input's."""
    layer_norm: bool = True
    """Normalise the output over its units, before the activation."""
    activation: Activation = "relu"
    """Activation of the output."""
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    """Probability of zeroing a unit of the output while training."""


class MaskBlockBlock(Block):
    """``act(norm(W (mask(e) * h)))`` for h the input, see `easyrec.modules.mask_block.MaskBlock`.

    Shape:
        input: (B, W), what is masked
        mask: (B, V), what the mask is made of
        output: (B, units)
    """

    def __init__(self, config: Config, around: Around, input: Shape, mask: Shape | None) -> None:
        super().__init__(config, around)
        self.layer = MaskBlock(
            (mask or input)[0],
            input[0],
            config.units,
            reduction=config.reduction,
            layer_norm=config.layer_norm,
            function=config.activation,
            dropout=config.dropout,
        )
        self.shape = (config.units,)

    def forward(self, input: Tensor, mask: Tensor | None) -> Tensor:
        """The output."""
        return self.layer(input if mask is None else mask, input)  # type: ignore[no-any-return]
