"""`mmoe`: experts that all tasks share, mixed for each task by its gate."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from easyrec.modules.blocks import LayerConfig
from easyrec.modules.blocks._block import Around, Block, Shape
from easyrec.modules.experts import Experts, Gate, mix
from easyrec.modules.mlp import MLPConfig


class Config(MLPConfig, LayerConfig):
    """Config of `mmoe`."""

    type: Literal["mmoe"] = "mmoe"
    experts: int = Field(4, gt=0)
    """Number of experts."""
    outputs: int | None = Field(None, gt=0)
    """Number of mixtures; omitted: one for each task of the model."""


class MMoEBlock(Block):
    """``sum_e g_te(x) f_e(x)`` for each task t with ``g_t = softmax(W_t x)``; see `easyrec.modules.experts`.

    Shape:
        input: (B, W)
        output: (B, T, hidden[-1]), one vector per task

    Source:
        Ma et al., "MMoE", KDD 2018, section 4.2.
    """

    def __init__(self, config: Config, around: Around, input: Shape) -> None:
        super().__init__(config, around)
        readers = config.outputs or len(around.tasks)
        self.experts = Experts(config.experts, input[0], config)
        self.gate = Gate(readers, input[0], config.experts)
        self.shape = (readers, self.experts.out)

    def forward(self, input: Tensor) -> Tensor:
        """The mixtures."""
        return mix(self.gate(input), self.experts(input))
