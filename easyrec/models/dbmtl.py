"""`dbmtl`: towers of tasks that read the towers of the tasks they depend on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.batch import Embedded
from easyrec.config.model import TaskConfig
from easyrec.errors import Problem
from easyrec.layout import GroupLayout
from easyrec.models._model import Model
from easyrec.models._towers import Logits, Towers, TowersConfig, unknown_task
from easyrec.modules.experts import Experts, Gate, mix
from easyrec.modules.mlp import MLP, Layers, LayersConfig
from easyrec.modules.named import module_name


class Config(TowersConfig):
    """Config of `dbmtl`."""

    type: Literal["dbmtl"] = "dbmtl"
    bottom: Layers = LayersConfig(hidden=[256, 128])
    """Layers that all tasks share; `[]` leaves them out."""
    experts: int = Field(0, ge=0)
    """Experts on top of the bottom, which each task mixes by a gate; 0: none."""
    expert: Layers = LayersConfig(hidden=[128])
    """Layers of each expert."""
    relations: dict[str, list[str]] = {}
    """By task, the tasks that it depends on: `{buy: [click]}`."""
    relation: Layers = LayersConfig(hidden=[32])
    """Layers of a task that depends on others, over its tower and theirs."""

    def unfit(self, tasks: Sequence[TaskConfig]) -> Iterator[Problem]:
        """Relations of tasks that are not there, or that depend on each other in a circle."""
        yield from super().unfit(tasks)
        names = [task.name for task in tasks]
        known = True
        for task, before in self.relations.items():
            places = [(task, f"model.relations.{task}")]
            places += [(other, f"model.relations.{task}.{i}") for i, other in enumerate(before)]
            for name, where in places:
                if name not in names:
                    known = False
                    yield unknown_task(name, names, where)
        if known and len(self.order(names)) < len(names):
            left = [name for name in names if name not in self.order(names)]
            text = f"a task may not depend on itself, but these do, through each other: {', '.join(left)}"
            yield Problem(f"{text}\ntake one of them out of the list of another", "model.relations")

    def order(self, names: Sequence[str]) -> list[str]:
        """The tasks, each after those that it depends on; without those in a circle."""
        ordered: list[str] = []
        for _ in names:
            ordered += [n for n in names if n not in ordered and set(self.relations.get(n, ())) <= set(ordered)]
        return ordered


class DBMTL(Model):
    """Logit of task t = w_t . h_t + b_t, with h_t = tower_t(bottom(x)), or relation_t([tower_t, h_s ...]) over relations.

    Shape:
        output: {task: (B,)}, before the sigmoid

    Source:
        Ma et al., "Deep Bayesian Multi-Target Learning for Recommender Systems", arXiv 1902.09154, section 3.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.bottom = MLP(self.width(), config.bottom)
        width = self.bottom.out
        self.experts = Experts(config.experts, width, config.expert) if config.experts else None
        self.gate = Gate(len(tasks), width, config.experts) if config.experts else None
        self.towers = Towers(tasks, self.experts.out if self.experts else width, config)
        self.names = [task.name for task in tasks]
        self.order = config.order(self.names)
        widths = dict(zip(self.names, self.towers.outs, strict=True))
        self.relations = nn.ModuleDict()
        for name in self.order:
            if before := config.relations.get(name):
                relation = MLP(widths[name] + sum(widths[other] for other in before), config.relation)
                self.relations[module_name(name)], widths[name] = relation, relation.out
        self.logits = Logits(tasks, [widths[name] for name in self.names])

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        shared = self.bottom(self.flat(x))  # (B, bottom.hidden[-1])
        if self.experts is not None and self.gate is not None:
            shared = mix(self.gate(shared), self.experts(shared))  # (B, T, expert.hidden[-1])
        h = dict(zip(self.names, self.towers(shared), strict=True))
        for name in self.order:
            if before := self.config.relations.get(name):
                h[name] = self.relations[module_name(name)](
                    torch.cat([h[name], *(h[other] for other in before)], dim=1)
                )
        return self.logits([h[name] for name in self.names])
