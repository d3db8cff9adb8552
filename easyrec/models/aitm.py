"""`aitm`: tasks in a chain; what an earlier one knows is passed on by attention."""

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
from easyrec.losses._loss import mean
from easyrec.models._model import Model
from easyrec.models._towers import Logits, Towers, TowersConfig, no_probabilities, too_few
from easyrec.modules.mlp import MLP, Layers, LayersConfig
from easyrec.modules.transfer import Transfer


class Config(TowersConfig):
    """Config of `aitm`; the tasks stand in the order of the events, e.g. click, cart, buy."""

    type: Literal["aitm"] = "aitm"
    bottom: Layers = LayersConfig(hidden=[])
    """Layers that all tasks share before their towers; a list is their `hidden`."""
    transfer_dim: int = Field(32, gt=0)
    """Width of what is passed on."""
    calibrator: float = Field(0.6, ge=0.0)
    """Weight of the loss for a later event that is predicted more probable than the one before it."""

    def unfit(self, tasks: Sequence[TaskConfig]) -> Iterator[Problem]:
        """A chain of one, or of what are no events."""
        yield from super().unfit(tasks)
        yield from too_few(self.type, tasks, "passes on what an earlier task knows")
        yield from no_probabilities(self.type, tasks)
        for index, task in enumerate(tasks):
            if task.mask is not None:
                text = f"'{task.name}' is compared with its neighbours over all rows: take the mask away"
                yield Problem(text, f"model.tasks.{index}.mask")


class AITM(Model):
    """Logit of task t = w_t . z_t + b_t with z_1 = q_1, z_t = attention over {g_t(z_{t-1}), q_t}, q_t = tower_t(x).

    Training adds ``calibrator * sum_t mean(max(p_t - p_{t-1}, 0))``.

    Shape:
        output: {task: (B,)}, before the sigmoid

    Source:
        Xi et al., "Modeling the Sequential Dependence among Audience Multi-step Conversions with Multi-task Learning
        in Targeted Display Advertising", KDD 2021, section 3.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.bottom = MLP(self.width(), config.bottom)
        self.towers = Towers(tasks, self.bottom.out, config)
        widths = [self.towers.outs[0], *[config.transfer_dim] * (len(tasks) - 1)]
        pairs = zip(widths, self.towers.outs[1:], strict=False)
        self.transfers = nn.ModuleList(Transfer(before, own, config.transfer_dim) for before, own in pairs)
        self.logits = Logits(tasks, widths)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        first, *others = self.towers(self.bottom(self.flat(x)))
        z = [first]
        for transfer, q in zip(self.transfers, others, strict=True):
            z.append(transfer(z[-1], q))  # (B, transfer_dim)
        return self.logits(z)

    def auxiliary(
        self, outputs: Mapping[str, Tensor], labels: Mapping[str, Tensor], weights: Tensor | None
    ) -> dict[str, Tensor]:
        """The calibrator."""
        chances = torch.sigmoid(torch.stack([outputs[task.name] for task in self.tasks], dim=1))
        excess = (chances[:, 1:] - chances[:, :-1]).clamp_min(0.0).sum(dim=1)  # (B,)
        loss = self.config.calibrator * mean(excess, weights)
        return {**super().auxiliary(outputs, labels, weights), "calibrator": loss}
