"""`m2m`: several tasks in several scenarios; attention and towers whose weights the scenario makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Model
from easyrec.models._towers import Logits, Towers, TowersConfig
from easyrec.modules.experts import Experts
from easyrec.modules.meta import MetaAttention, MetaTower
from easyrec.modules.mlp import MLP, Layers, LayersConfig


class Config(TowersConfig):
    """Config of `m2m`."""

    type: Literal["m2m"] = "m2m"
    experts: int = Field(4, gt=0)
    """Number of experts."""
    expert: Layers = LayersConfig(hidden=[128, 64])
    """Layers of each expert; a list is their `hidden`."""
    scenario: Layers = LayersConfig(hidden=[16])
    """Layers over the group `domain`; the weights of meta layers are linear in the last one."""
    task_dim: int = Field(16, gt=0)
    """Width of the vector of a task."""
    attention_dim: int = Field(16, gt=0)
    """Width of the meta attention."""
    meta_layers: int = Field(1, ge=0)
    """Layers of the meta tower."""
    tower: Layers = LayersConfig(hidden=[])
    """Layers of each task's tower on top; a list is their `hidden`."""

    def uses(self) -> dict[str, GroupUse]:
        """What is judged in `deep`; what tells of the scenario in `domain`."""
        return {"deep": GroupUse(), "domain": GroupUse(about="domain")}


class M2M(Model):
    """Logit of task t = tower_t(meta_s(sum_e a_te(s) f_e(x))), where s is the scenario's vector.

    Shape:
        output: {task: (B,)}, before the sigmoid

    Source:
        Zhang et al., "Leaving No One Behind: A Multi-Scenario Multi-Task Meta Learning Approach for Advertiser
        Modeling", WSDM 2022, section 3.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.scenario = MLP(self.width("domain"), config.scenario)
        self.experts = Experts(config.experts, self.width(), config.expert)
        self.vectors = nn.Parameter(torch.randn(len(tasks), config.task_dim))
        width, scenario = self.experts.out, self.scenario.out
        self.attention = MetaAttention(scenario, width, config.task_dim, config.attention_dim)
        self.meta = MetaTower(scenario, width, config.meta_layers)
        self.towers = Towers(tasks, width, config)
        self.logits = Logits(tasks, self.towers.outs)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        s = self.scenario(self.flat(x, "domain"))  # (B, scenario.hidden[-1])
        mixed = self.attention(self.experts(self.flat(x)), self.vectors, s)  # (B, T, expert.hidden[-1])
        return self.logits(self.towers(self.meta(mixed, s)))
