"""`cdn`: items by what they are and by what is remembered of them, as often seen as they were; for a long tail of items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from easyrec import losses
from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.errors import ConfigError, Problem, nearest
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.experts import Experts, Gate, Linears, mix
from easyrec.modules.mlp import Layers, LayersConfig
from feature_generator.config import StrictModel


class Rebalance(StrictModel):
    """A second branch of the user, which learns from rows of rare items above all."""

    feature: str
    """Number of the group `frequency` that is the logarithm of how often the item was seen."""
    power: float = Field(0.5, ge=0.0)
    """A row of an item that was seen n times has the weight n^-power."""
    weight: float = Field(1.0, gt=0.0)
    """Weight of the branch's own loss."""
    share: float = Field(0.5, gt=0.0, lt=1.0)
    """Share of the branch in the user's vector."""


class Config(ModelConfig):
    """Config of `cdn`."""

    type: Literal["cdn"] = "cdn"
    dim: int = Field(64, gt=0)
    """Width of the vectors of user and item."""
    memory_experts: int = Field(1, gt=0)
    """Experts that read the group `memory`."""
    content_experts: int = Field(1, gt=0)
    """Experts that read the group `content`."""
    expert: Layers = LayersConfig(hidden=[128])
    """Layers of each expert, below its vector; a list is their `hidden`."""
    user: Layers = LayersConfig(hidden=[128])
    """Layers of each branch of the user, below its vector."""
    rebalance: Rebalance | None = None
    """Omitted: the user has one branch."""

    def uses(self) -> dict[str, GroupUse]:
        """All inputs of four groups."""
        item = GroupUse(about="item")
        return {"user": GroupUse(about="user"), "memory": item, "content": item, "frequency": item}

    def unfit(self, tasks: Sequence[TaskConfig]) -> Iterator[Problem]:
        """Losses that compare rows, which the rare ones alone are too few for."""
        yield from super().unfit(tasks)
        for index, task in enumerate(tasks) if self.rebalance is not None else ():
            for path, loss in task.loss_config.placed():
                if loss.columns:
                    text = f"'{loss.type}' compares rows of a session, which 'rebalance' weighs one by one"
                    place = ".".join(map(str, ("loss", *path)))
                    yield Problem(f"{text}\ntake another loss, or rebalance: null", f"model.tasks.{index}.{place}")


class CDN(Model):
    """Logit = w . (u * v) + b with the item v = sum_e g_e(f) E_e and the user u = (1 - s) u_main + s u_tail.

    Experts E_e read either `memory` (the item's id) or `content` (what it has in common with others); the gate g, a
    softmax over `frequency`, says whom to believe. With `rebalance` the branch u_tail also has a loss of its own, in which
    a row counts n^-power for an item that was seen n times.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Zhang et al., "Empowering Long-tail Item Recommendation through Cross Decoupling Network (CDN)", KDD 2023. Their
        second branch is trained on re-balanced rows, its share falling from epoch to epoch; here rows are weighted.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.memory = Experts(config.memory_experts, self.width("memory"), config.expert)
        self.content = Experts(config.content_experts, self.width("content"), config.expert)
        experts = config.memory_experts + config.content_experts
        self.vectors = Linears(experts, self.memory.out, config.dim)
        self.gate = Gate(1, self.width("frequency"), experts)
        branches = 2 if config.rebalance is not None else 1
        self.user = Experts(branches, self.width("user"), config.user)
        self.users = Linears(branches, self.user.out, config.dim)
        self.head = Head(tasks, config.dim)
        self.count = None if config.rebalance is None else self._column(config.rebalance.feature)
        self.losses = tuple(losses.build(task) for task in tasks)

    def _column(self, name: str) -> int:
        spans = {span.name: span for span in self.layouts["frequency"].dense}
        if name not in spans or spans[name].dim != 1:
            text = f"'{name}' is no single number among the dense inputs of 'frequency'{nearest(name, spans)}"
            raise ConfigError([Problem(f"{text}\nsuch are: {', '.join(spans) or 'none'}", "model.rebalance.feature")])
        return spans[name].start

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        experts = [self.memory(self.flat(x, "memory")), self.content(self.flat(x, "content"))]
        vectors = self.vectors(torch.cat(experts, dim=1))  # (B, E, dim)
        item = mix(self.gate(self.flat(x, "frequency")), vectors).squeeze(1)  # (B, dim)
        users = self.users(self.user(self.flat(x, "user")))  # (B, branches, dim)
        balance = self.config.rebalance
        if balance is None or self.count is None:
            return self.head(users[:, 0] * item)
        main, tail = users[:, 0], users[:, 1]
        outputs = self.head(((1.0 - balance.share) * main + balance.share * tail) * item)
        if self.training:
            outputs |= {f"tail/{name}": logit for name, logit in self.head(tail * item).items()}
            outputs["rarity"] = torch.exp(-balance.power * x.dense("frequency")[:, self.count])
        return outputs

    def auxiliary(
        self, outputs: Mapping[str, Tensor], labels: Mapping[str, Tensor], weights: Tensor | None
    ) -> dict[str, Tensor]:
        """The losses of the branch for rare items."""
        found = super().auxiliary(outputs, labels, weights)
        if self.config.rebalance is None:
            return found
        rare = outputs["rarity"] if weights is None else outputs["rarity"] * weights
        parts = []
        for name, task, loss in zip(self.head.names, self.tasks, self.losses, strict=True):
            counted = rare if task.rows is None else rare * task.rows.rows(labels).float()
            parts.append(task.weight * loss(outputs[f"tail/{name}"], labels[task.label], counted))
        return {**found, "rebalance": self.config.rebalance.weight * torch.stack(parts).sum()}
