"""Multi-head self-attention between the fields of a row."""

from __future__ import annotations

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from typing_extensions import Self

from easyrec.modules.attention import attention_mix, attention_weights
from easyrec.modules.dropout import Dropout
from easyrec.modules.product import Linear
from feature_generator.config import StrictModel, fault


class AttentionConfig(StrictModel):
    """Keys of attention between fields."""

    attention_layers: int = Field(3, gt=0)
    """Number of attention layers; each lets every field gather from all."""
    attention_dim: int = Field(32, gt=0)
    """Width of a field after each layer, all heads together."""
    heads: int = Field(2, gt=0)
    """Attentions side by side; must divide `attention_dim`."""
    scale: bool = False
    """Divide scores by the root of a head's width."""
    attention_dropout: float = Field(0.0, ge=0.0, lt=1.0)
    """Probability of zeroing an attention weight while training."""

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.attention_dim % self.heads:
            raise fault(
                f"'heads' must divide 'attention_dim', but {self.heads} does not divide {self.attention_dim}", "heads"
            )
        return self


def projections(width: int, units: int, count: int) -> Linear:
    """`count` linear maps of equal size without bias, side by side, each started as `mlp.linear` starts its own."""
    layer = Linear(width, count * units, bias=False)
    for weight in torch.chunk(layer.weight.detach(), count):
        nn.init.xavier_normal_(weight)
    return layer


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    fields: int,
    heads: int,
    *,
    scale: bool,
    dropout: nn.Module | None = None,
    asked: int | None = None,
) -> Tensor:
    """For each row and head ``softmax(Q K' / s) V`` over its fields, with s the root of the head's width or 1.

    Shape:
        query: (B * fields, units)
        key, value: (B * asked, units); `asked` is `fields` unless other fields are asked
        output: (B * fields, units)
    """
    counts = (fields, asked or fields, asked or fields)
    parts = [
        torch.unflatten(torch.unflatten(t, 1, (heads, -1)), 0, (-1, n))
        for t, n in zip((query, key, value), counts, strict=True)
    ]
    query, key, value = (part.transpose(1, 2) for part in parts)  # (B, heads, F, units / heads)
    if scale:
        query = query * query.shape[3] ** -0.5
    weights = torch.softmax(query @ key.transpose(2, 3), dim=3)  # (B, heads, F, F)
    if dropout is not None:
        weights = dropout(weights)
    return (weights.to(value.dtype) @ value).transpose(1, 2).flatten(2).flatten(0, 1)


class FieldAttention(nn.Module):
    """``relu(norm([head_1 .. head_H] + R e))`` with ``head_h = softmax(Q_h e (K_h e)' / s) V_h e`` over the fields.

    s is the root of the head's width with `scale`, else 1. R is the identity where the widths allow it.

    Shape:
        input: (B * fields, width), the fields of a row one after another
        output: (B * fields, attention_dim)

    Source:
        Song et al., "AutoInt", CIKM 2019, eq. (5)-(8).
    """

    def __init__(
        self, width: int, fields: int, config: AttentionConfig, *, residual: bool = True, layer_norm: bool = False
    ) -> None:
        super().__init__()
        self.fields, self.config, units = fields, config, config.attention_dim
        self.same = residual and width == units
        self.queries_keys = projections(width, units, 2)
        self.values = projections(width, units, 2 if residual and not self.same else 1)  # then R
        self.dropout = Dropout(config.attention_dropout) if config.attention_dropout else None
        self.norm = nn.LayerNorm(units) if layer_norm else None

    def forward(self, input: Tensor) -> Tensor:
        """The fields after attention."""
        config = self.config
        weights = attention_weights(self.queries_keys(input), self.fields, config.heads, scale=config.scale)
        if self.dropout is not None:
            weights = self.dropout(weights)
        output = attention_mix(weights, self.values(input), config.attention_dim, input if self.same else None)
        if self.norm is not None:
            output = self.norm(output)
        return torch.relu(output)
