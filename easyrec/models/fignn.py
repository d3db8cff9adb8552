"""`fignn`: fields as nodes of a graph that pass messages."""

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
from easyrec.modules.field_graph import Edges, GatedUpdate, Messages
from easyrec.modules.mlp import linear


class Config(DenseFieldConfig):
    """Config of `fignn`."""

    type: Literal["fignn"] = "fignn"
    steps: int = Field(3, gt=0)
    """How often messages are passed."""
    shared: bool = False
    """All steps have the same weights."""
    gru: bool = True
    """A gated unit updates the states; otherwise messages are added."""
    residual: bool = True
    """Add the embeddings after each step."""


class FiGNN(DenseFieldModel):
    """Logit = w . sum_i g_i h_i + b of the last states h, with ``g = sigmoid(G [h_1 .. h_F])``.

    The states start as the embeddings e; a step is ``h_i <- update(m_i, h_i) + e_i`` with the messages m of the graph. An
    MLP makes one field of the dense inputs.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Li et al., "Fi-GNN: Modeling Feature Interactions via Graph Neural Networks for CTR Prediction", CIKM 2019,
        section 3.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        fields, dim = self.count, self.dim()
        if self.bottom is None:
            self.num_pairs()  # one field alone has no neighbours
        self.edges = Edges(fields, dim)
        self.messages = nn.ModuleList(Messages(fields, dim) for _ in range(1 if config.shared else config.steps))
        self.update = GatedUpdate(dim) if config.gru else None
        self.gate = linear(fields * dim, fields, bias=False)
        self.head = Head(tasks, dim)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        fields = self.all_fields(x)  # (B, F, D)
        edges, states = self.edges(fields), fields
        for step in range(self.config.steps):
            message = self.messages[0 if self.config.shared else step](edges, states)
            states = message + states if self.update is None else self.update(message, states)
            states = states + fields if self.config.residual else states
        gate = torch.sigmoid(self.gate(states.flatten(1)))  # (B, F)
        return self.head(torch.bmm(gate.unsqueeze(1).to(states.dtype), states).squeeze(1))
