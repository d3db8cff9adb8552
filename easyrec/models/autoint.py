"""`autoint`: self-attention between fields; with an MLP it is AutoInt+."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.field_attention import AttentionConfig, FieldAttention
from easyrec.modules.mlp import MLP, MLPConfig, Widths


class Config(MLPConfig, AttentionConfig, ModelConfig):
    """Config of `autoint`."""

    type: Literal["autoint"] = "autoint"
    hidden: Widths = []
    """Widths of the deep part, input side first; empty: no deep part."""
    linear: bool = False
    """Add first-order weights."""
    residual: bool = True
    """Add to each attention layer its own input."""
    attention_norm: bool = False
    """Normalise each field over its units after each attention layer."""

    def uses(self) -> dict[str, GroupUse]:
        """Embeddings of equal dims of `deep`, with `linear` first-order weights too."""
        return {"deep": GroupUse(first_order=self.linear, equal_dims=True)}


class AutoInt(Model):
    """Logit = w . attention(fields) + u . MLP(fields, dense inputs) + first-order weights; the last two are optional.

    Without both the dense inputs stand beside the attended fields.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Song et al., "AutoInt: Automatic Feature Interaction Learning via Self-Attentive Neural Networks", CIKM 2019,
        eq. (5)-(9), and section 5.5 for the deep part.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        fields, layers, width = self.num_fields(), [], self.dim()
        for _ in range(config.attention_layers):
            layers.append(
                FieldAttention(width, fields, config, residual=config.residual, layer_norm=config.attention_norm)
            )
            width = config.attention_dim
        self.attention = nn.Sequential(*layers)
        self.deep = MLP(self.width(), config) if config.hidden else None
        self.beside = self.deep is None and not config.linear and self.layouts["deep"].dense_width > 0
        beside = self.deep.out if self.deep is not None else self.layouts["deep"].dense_width if self.beside else 0
        self.head = Head(tasks, fields * width + beside, terms=int(config.linear))

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        fields = self.fields(x)  # (B, F, D)
        attended = self.attention(fields.flatten(0, 1))  # (B * F, attention_dim)
        parts = [torch.unflatten(attended, 0, (-1, fields.shape[1])).flatten(1)]  # (B, F * attention_dim)
        parts += [self.deep(self.flat(x, fields=fields))] if self.deep is not None else []
        parts += [x.dense("deep")] if self.beside else []
        hidden = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
        return self.head(hidden, *([self.linear(x)] if self.config.linear else []))
