"""`interhat`: attention between fields, then crosses of rising order that attention pools, one after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.batch import Embedded
from easyrec.config.model import TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._dense_field import DenseFieldConfig, DenseFieldModel
from easyrec.models._model import Head
from easyrec.modules.attentive_pooling import AttentivePooling
from easyrec.modules.field_attention import AttentionConfig, FieldAttention
from easyrec.modules.mlp import MLP, MLPConfig, linear


class Config(AttentionConfig, MLPConfig, DenseFieldConfig):
    """Config of `interhat`."""

    type: Literal["interhat"] = "interhat"
    attention_layers: int = Field(1, gt=0)
    scale: bool = True
    order: int = Field(3, gt=0)
    """Highest order of the crosses."""
    pooling_dim: int = Field(32, gt=0)
    """Width of the hidden layer that weighs vectors before they are pooled."""


class InterHAt(DenseFieldModel):
    """Logit = w . MLP(pool(u_1 .. u_K)) + b with ``u_k = pool(X_k)`` and ``X_{k+1} = u_k * X_1 + X_k``.

    X_1 is attention between the fields, as in `autoint`, and a layer over each. Each `pool` is a weighted sum, whose weights tell which
    fields and which orders counted. An MLP makes one field of the dense inputs.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Li et al., "Interpretable Click-Through Rate Prediction through Hierarchical Attention", WSDM 2020, section 3.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        units = config.attention_dim
        widths = [self.dim()] + [units] * (config.attention_layers - 1)
        self.attention = nn.Sequential(
            *(FieldAttention(width, self.count, config, layer_norm=True) for width in widths)
        )
        self.inner, self.outer, self.norm = linear(units, 4 * units), linear(4 * units, units), nn.LayerNorm(units)
        self.pools = nn.ModuleList(AttentivePooling(units, config.pooling_dim) for _ in range(config.order))
        self.last_pool = AttentivePooling(units, config.pooling_dim)
        self.deep = MLP(units, config)
        self.head = Head(tasks, self.deep.out)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        fields = self.all_fields(x)  # (B, F, D)
        attended = self.attention(fields.flatten(0, 1))  # (B F, units)
        attended = self.norm(attended + self.outer(torch.relu(self.inner(attended))))
        first = crossed = torch.unflatten(attended, 0, (-1, self.count))  # (B, F, units)
        pooled: list[Tensor] = []
        for pool in self.pools:
            if pooled:
                crossed = torch.addcmul(crossed, pooled[-1].unsqueeze(1).to(crossed.dtype), first)
            pooled.append(pool(crossed))
        return self.head(self.deep(self.last_pool(torch.stack(pooled, dim=1))))
