"""`mmoe`: experts that all tasks share, and for each task a gate that mixes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field
from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config.model import TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Model
from easyrec.models._towers import Logits, Towers, TowersConfig
from easyrec.modules.experts import Experts, Gate, mix
from easyrec.modules.mlp import Layers, LayersConfig


class Config(TowersConfig):
    """Config of `mmoe`."""

    type: Literal["mmoe"] = "mmoe"
    experts: int = Field(4, gt=0)
    """Number of experts."""
    expert: Layers = LayersConfig(hidden=[128])
    """Layers of each expert; a list is their `hidden`."""


class MMoE(Model):
    """Logit of task t = tower_t(sum_e g_te(x) f_e(x)), with g_t = softmax(W_t x).

    Shape:
        output: {task: (B,)}, before the sigmoid

    Source:
        Ma et al., "Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts", KDD 2018,
        section 4.2.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.experts = Experts(config.experts, self.width(), config.expert)
        self.gate = Gate(len(tasks), self.width(), config.experts)
        self.towers = Towers(tasks, self.experts.out, config)
        self.logits = Logits(tasks, self.towers.outs)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        flat = self.flat(x)  # (B, width)
        mixed = mix(self.gate(flat), self.experts(flat))  # (B, T, expert.hidden[-1])
        return self.logits(self.towers(mixed))
