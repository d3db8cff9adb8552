"""`attention`: self-attention between fields, one layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from easyrec.errors import ConfigError
from easyrec.modules.blocks import LayerConfig, Takes
from easyrec.modules.blocks._block import Around, Block, Shape
from easyrec.modules.field_attention import AttentionConfig, FieldAttention


class Config(LayerConfig):
    """Config of `attention`."""

    takes: ClassVar[Mapping[str, Takes]] = {"input": "fields"}

    type: Literal["attention"] = "attention"
    units: int = Field(32, gt=0)
    """Width of a field afterwards, all heads together."""
    heads: int = Field(2, gt=0)
    """Attentions side by side; must divide `units`."""
    scale: bool = False
    """Divide scores by the root of a head's width."""
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    """Probability of zeroing an attention weight while training."""
    residual: bool = True
    """Add the field itself, mapped where the widths differ."""
    layer_norm: bool = False
    """Normalise each field over its units."""


class Attention(Block):
    """``relu(norm([head_1 .. head_H] + R e))``, see `easyrec.modules.field_attention.FieldAttention`; `repeat` stacks it.

    Shape:
        input: (B, F, D)
        output: (B, F, units)
    """

    def __init__(self, config: Config, around: Around, input: Shape) -> None:
        super().__init__(config, around)
        if config.units % config.heads:
            raise ConfigError(f"'heads' must divide 'units', but {config.heads} does not divide {config.units}")
        keys = {"attention_dim": config.units, "heads": config.heads, "scale": config.scale}
        attention = AttentionConfig(**keys, attention_dropout=config.dropout)
        fields, dim = input
        self.layer = FieldAttention(dim, fields, attention, residual=config.residual, layer_norm=config.layer_norm)
        self.shape = (fields, config.units)

    def forward(self, input: Tensor) -> Tensor:
        """The fields after attention."""
        fields = self.layer(input.flatten(0, 1))  # (B * F, units)
        return torch.unflatten(fields, 0, (-1, input.shape[1]))
