"""`gate`: units of a vector scaled by a context, as in FinalMLP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from torch import Tensor

from easyrec.modules.blocks import LayerConfig, Takes, Wires
from easyrec.modules.blocks._block import Around, Block, Shape
from easyrec.modules.mlp import MLPConfig
from easyrec.modules.selection import FeatureGate


class Config(MLPConfig, LayerConfig):
    """Config of `gate`."""

    takes: ClassVar[Mapping[str, Takes]] = {"input": "vector", "by": "vector"}
    optional: ClassVar[frozenset[str]] = frozenset({"by"})

    type: Literal["gate"] = "gate"
    by: Annotated[Any, Wires()] = None
    """Blocks that make the context; omitted: a learned constant."""


class Gate(Block):
    """``2 sigmoid(MLP(by)) * x``, or without `by` a learned factor per unit; see `easyrec.modules.selection.FeatureGate`.

    Shape:
        input, output: (B, W)
        by: (B, V), the context
    """

    def __init__(self, config: Config, around: Around, input: Shape, by: Shape | None) -> None:
        super().__init__(config, around)
        self.layer = FeatureGate(input[0], by[0] if by else 0, config)
        self.shape = input

    def forward(self, input: Tensor, by: Tensor | None) -> Tensor:
        """The output."""
        return self.layer(input, by)  # type: ignore[no-any-return]
