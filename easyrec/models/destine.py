"""`destine`: disentangled self-attention between fields, with an MLP and a linear part beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.disentangled import DisentangledAttention
from easyrec.modules.field_attention import AttentionConfig
from easyrec.modules.mlp import MLP, MLPConfig, Widths, linear


class Config(MLPConfig, AttentionConfig, ModelConfig):
    """Config of `destine`."""

    type: Literal["destine"] = "destine"
    hidden: Widths = [256, 128]
    """Widths of the deep part, input side first; empty: no deep part."""
    linear: bool = True
    """Add first-order weights."""
    residual: Literal["each", "last", "none"] = "each"
    """Add to each attention layer a map of its input, to the last one a map of the fields, or neither."""

    def uses(self) -> dict[str, GroupUse]:
        """Embeddings of equal dims of `deep`, with `linear` first-order weights too."""
        return {"deep": GroupUse(first_order=self.linear, equal_dims=True)}


class DESTINE(Model):
    """Logit = w . attention(fields) + u . MLP(fields, dense inputs) + first-order weights; the last two are optional.

    Without both the dense inputs stand beside the attended fields.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Xu et al., "Disentangled Self-Attentive Neural Networks for Click-Through Rate Prediction", CIKM 2021,
        eq. (4)-(12).
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        fields, units = self.num_fields(), config.attention_dim
        self.attention = nn.Sequential(
            *(
                DisentangledAttention(
                    units if layer else self.dim(), fields, config, residual=config.residual == "each"
                )
                for layer in range(config.attention_layers)
            )
        )
        self.map = linear(self.dim(), units, bias=False) if config.residual == "last" else None
        self.deep = MLP(self.width(), config) if config.hidden else None
        self.beside = self.deep is None and not config.linear and self.layouts["deep"].dense_width > 0
        beside = self.deep.out if self.deep is not None else self.layouts["deep"].dense_width if self.beside else 0
        self.head = Head(tasks, fields * units + beside, terms=int(config.linear))

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        fields = self.fields(x)  # (B, F, D)
        attended = self.attention(fields.flatten(0, 1))  # (B * F, attention_dim)
        if self.map is not None:
            attended = attended + self.map(fields.flatten(0, 1))
        parts = [torch.unflatten(attended, 0, (-1, fields.shape[1])).flatten(1)]  # (B, F * attention_dim)
        parts += [self.deep(self.flat(x, fields=fields))] if self.deep is not None else []
        parts += [x.dense("deep")] if self.beside else []
        hidden = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
        return self.head(hidden, *([self.linear(x)] if self.config.linear else []))
