"""`edcn`: a cross network and a deep one that share what they found after every layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.batch import Embedded
from easyrec.config.model import ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.activation import Activation
from easyrec.modules.bridge import Bridge, Join, Regulation
from easyrec.modules.mlp import MLP, MLPConfig, linear


class Config(ModelConfig):
    """Config of `edcn`."""

    type: Literal["edcn"] = "edcn"
    cross_layers: int = Field(3, gt=0)
    """Number of layers of both networks; the deep ones are as wide as the input."""
    bridge: Join = "product"
    """How the outputs of a layer of both networks are joined."""
    temperature: float = Field(1.0, gt=0.0)
    """Of the softmax over fields by which a joined vector is shared out; the higher, the more equal."""
    batch_norm: bool = True
    """Normalise what is shared out over the batch."""
    activation: Activation = "relu"
    """Activation of every deep layer."""
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    """Probability of zeroing a unit of a deep layer while training."""


class EDCN(Model):
    """Logit = w . [c_L, h_L, s_L] + b: the last cross layer, the last deep layer, and what joins them.

    ``c_l = c_0 (w_l . c'_l) + b_l`` and ``h_l = act(W_l h'_l + a_l)``, where both inputs are shares of the joined
    ``s_l = bridge(c_l, h_l)`` of the layer before, field by field, and c_0 the first of them. What a cross layer reads is
    not added to what it puts out, unlike in DCN: from small embeddings that learns much later.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Chen et al., "Enhancing Explicit and Implicit Feature Interactions via Information Sharing for Parallel Deep CTR
        Models", DLP-KDD 2021, section 4.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        width, count, layout = self.width(), config.cross_layers, self.layouts["deep"]
        dims = [span.dim for span in layout.fields]
        dims += [self.interest_width("deep", sequence) for sequence in layout.sequences]
        dims += [span.dim for span in layout.dense]
        layer = MLPConfig(hidden=[width], activation=config.activation, dropout=config.dropout)
        self.shares = nn.ModuleList(
            Regulation(dims, config.temperature, batch_norm=config.batch_norm) for _ in range(count)
        )
        self.cross = nn.ModuleList(linear(width, 1, bias=False) for _ in range(count))
        self.shifts = nn.Parameter(torch.zeros(count, width))
        self.deep = nn.ModuleList(MLP(width, layer) for _ in range(count))
        self.bridges = nn.ModuleList(Bridge(width, config.bridge) for _ in range(count))
        self.head = Head(tasks, 3 * width)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        joined, first = self.flat(x), None  # (B, width)
        for share, cross, shift, deep, bridge in zip(
            self.shares, self.cross, self.shifts, self.deep, self.bridges, strict=True
        ):
            crossed, hidden = share(joined)
            first = crossed if first is None else first
            crossed = torch.addcmul(shift, first, cross(crossed).to(first.dtype))
            hidden = deep(hidden)
            joined = bridge(crossed, hidden.to(crossed.dtype))
        return self.head(torch.cat([crossed, hidden.to(crossed.dtype), joined], dim=1))
