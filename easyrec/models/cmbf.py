"""`cmbf`: image and text attend to themselves and to each other, an MLP joins them with all other features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.cross_modal import CrossModal
from easyrec.modules.field_attention import AttentionConfig, FieldAttention
from easyrec.modules.mlp import MLP, MLPConfig

MODES = ("image", "text")


class Config(MLPConfig, AttentionConfig, ModelConfig):
    """Config of `cmbf`."""

    type: Literal["cmbf"] = "cmbf"
    attention_layers: int = 1
    """Layers of attention inside each modality, before they attend to each other."""

    def uses(self) -> dict[str, GroupUse]:
        """Fields of equal dims of `image` and of `text`, and whatever else `deep` holds."""
        item = GroupUse(equal_dims=True, about="item")
        return {"deep": GroupUse(optional=True), "image": item, "text": item}


class CMBF(Model):
    """Logit = w . MLP([S(image | text), S(text | image), deep]) + b.

    Inside each modality the fields attend to each other, then those of one to those of the other; S is the mean over a
    modality's fields. Dense inputs of all groups join the MLP's input.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Chen et al., "CMBF: Cross-Modal-Based Fusion Recommendation Algorithm", Sensors 2021, figure 2. Image vectors are
        projected where the paper cuts an image into regions.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        counts = {mode: self.num_fields(mode) for mode in MODES}
        self.inside = nn.ModuleDict({mode: self._layers(mode, counts[mode]) for mode in MODES})
        self.across = nn.ModuleDict({a: CrossModal(counts[a], counts[b], config) for a, b in (MODES, reversed(MODES))})
        self.counts = counts
        width = 2 * config.attention_dim + sum(self.layouts[mode].dense_width for mode in MODES)
        self.deep = MLP(width + (self.width() if "deep" in self.layouts else 0), config)
        self.head = Head(tasks, self.deep.out)

    def _layers(self, mode: str, fields: int) -> nn.Sequential:
        units = self.config.attention_dim
        widths = [self.dim(mode)] + [units] * (self.config.attention_layers - 1)
        return nn.Sequential(*(FieldAttention(width, fields, self.config) for width in widths))

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        seen = {mode: self.inside[mode](self.fields(x, mode).flatten(0, 1)) for mode in MODES}  # (B * F, A)
        parts = []
        for mode, other in (MODES, tuple(reversed(MODES))):
            fused = self.across[mode](seen[mode], seen[other])
            parts.append(torch.unflatten(fused, 0, (-1, self.counts[mode])).float().mean(dim=1))  # (B, A)
        parts += [x.dense(mode) for mode in MODES if self.layouts[mode].dense]
        parts += [self.flat(x)] if "deep" in self.layouts else []
        return self.head(self.deep(torch.cat(parts, dim=1)))
