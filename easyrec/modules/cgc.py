"""The levels of PLE: experts of each task beside shared ones."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.modules.experts import Experts, Gate, mix
from easyrec.modules.mlp import Layers, LayersConfig
from feature_generator.config import StrictModel


class CGCConfig(StrictModel):
    """Keys of a level."""

    task_experts: int = Field(2, gt=0)
    """Experts of each task."""
    shared_experts: int = Field(2, gt=0)
    """Experts of all tasks together."""
    expert: Layers = LayersConfig(hidden=[128])
    """Layers of each expert; a list is their `hidden`."""


class CGC(nn.Module):
    """Task t: ``sum_e g_te(x_t) f_e`` over its own and the shared experts; shared: over all experts.

    The experts and the gate of task t read x_t, the shared ones x_s.

    Shape:
        input: (B, width) at the first level, then (B, T + 1, width), the last of them x_s
        output: (B, T + 1, expert.hidden[-1]); without the shared one (B, T, ...) at the last level

    Source:
        Tang et al., "Progressive Layered Extraction", RecSys 2020, eq. (1)-(6).
    """

    readers: Tensor

    def __init__(self, tasks: int, width: int, config: CGCConfig, *, last: bool) -> None:
        super().__init__()
        self.tasks, self.own = tasks, config.task_experts
        experts = tasks * config.task_experts + config.shared_experts
        self.experts = Experts(experts, width, config.expert)
        self.gate = Gate(tasks, width, config.task_experts + config.shared_experts)
        self.shared = None if last else Gate(1, width, experts)
        readers = [task for task in range(tasks) for _ in range(config.task_experts)]
        readers += [tasks] * config.shared_experts
        self.register_buffer("readers", torch.tensor(readers), persistent=False)
        self.out = self.experts.out

    def forward(self, input: Tensor) -> Tensor:
        """The mixtures."""
        first = input.dim() == 2
        experts = self.experts(input if first else input.index_select(1, self.readers))  # (B, E, H)
        own, shared = experts.split([self.tasks * self.own, experts.shape[1] - self.tasks * self.own], dim=1)
        gate = self.gate(input if first else input[:, : self.tasks]).to(experts.dtype)  # (B, T, own + shared)
        mine, common = gate.split([self.own, shared.shape[1]], dim=2)
        grouped = torch.unflatten(own, 1, (self.tasks, self.own))  # (B, T, own, H)
        mixed: Tensor = (mine.unsqueeze(3) * grouped).sum(dim=2) + mix(common, shared)
        if self.shared is None:
            return mixed
        everything = mix(self.shared(input if first else input[:, self.tasks :]), experts)  # (B, 1, H)
        return torch.cat([mixed, everything], dim=1)
