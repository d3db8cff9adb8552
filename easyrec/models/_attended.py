"""What the models share whose fields attend to each other, with an MLP and a linear part beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.field_attention import AttentionConfig
from easyrec.modules.mlp import MLP, MLPConfig, Widths


class AttendedConfig(MLPConfig, AttentionConfig, ModelConfig):
    """Keys of these models."""

    hidden: Widths = []
    """Widths of the deep part, input side first; empty: no deep part."""
    linear: bool = False
    """Add first-order weights."""

    def uses(self) -> dict[str, GroupUse]:
        """Embeddings of equal dims of `deep`, with `linear` first-order weights too."""
        return {"deep": GroupUse(first_order=self.linear, equal_dims=True)}


class Attended(Model):
    """Logit = w . attended fields + MLP of the fields + first-order weights, the last two where the config asks.

    Dense inputs join the MLP or the linear part; without both they stand beside the attended fields. A model defines
    `layers`.

    Shape:
        output: {"logit": (B,)}, before the sigmoid
    """

    def __init__(self, config: AttendedConfig, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.attention = self.layers()
        self.deep = MLP(self.width(), config) if config.hidden else None
        self.beside = self.deep is None and not config.linear and self.layouts["deep"].dense_width > 0
        beside = self.deep.out if self.deep is not None else self.layouts["deep"].dense_width if self.beside else 0
        self.head = Head(tasks, self.num_fields() * config.attention_dim + beside, terms=int(config.linear))

    def layers(self) -> nn.Module:
        """Attention between the fields, (B * F, D) to (B * F, attention_dim)."""
        raise TypeError(f"{type(self).__name__} must define layers")

    def attended(self, fields: Tensor) -> Tensor:
        """(B * F, attention_dim), the fields (B * F, D) after attention."""
        attended: Tensor = self.attention(fields)
        return attended

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        fields = self.fields(x)  # (B, F, D)
        attended = self.attended(fields.flatten(0, 1))
        parts = [torch.unflatten(attended, 0, (-1, fields.shape[1])).flatten(1)]  # (B, F * attention_dim)
        parts += [self.deep(self.flat(x, fields=fields))] if self.deep is not None else []
        parts += [x.dense("deep")] if self.beside else []
        hidden = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
        return self.head(hidden, *([self.linear(x)] if self.config.linear else []))
