"""`pepnet`: embeddings scaled by the domain, and towers scaled by the ids of who and what a row is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Model
from easyrec.models._towers import TWO_TASKS, Logits
from easyrec.modules.personalized import GatedConfig, GatedTowers, GateNU


class Config(GatedConfig, ModelConfig):
    """Config of `pepnet`."""

    example_tasks: ClassVar[Sequence[Mapping[str, Any]]] = TWO_TASKS

    type: Literal["pepnet"] = "pepnet"

    def uses(self) -> dict[str, GroupUse]:
        """What is judged in `deep`; where that is in `domain`; ids that the gates of towers read in `gate`."""
        return {"deep": GroupUse(), "domain": GroupUse(about="domain"), "gate": GroupUse(about="user")}


class PEPNet(Model):
    """Logit of task t = w_t . tower_t(e; gates([ids, sg(e)])) + b_t, with e = gate([domain, sg(x)]) * x.

    sg stops the gradient.

    Shape:
        output: {task: (B,)}, before the sigmoid

    Source:
        Chang et al., "PEPNet: Parameter and Embedding Personalized Network for Infusing with Personalized Prior
        Information", KDD 2023, section 3.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        width = self.width()
        self.domain_gate = GateNU(self.width("domain") + width, config.gate_hidden, width)
        self.towers = GatedTowers(len(tasks), width, self.width("gate"), config)
        self.logits = Logits(tasks, [self.towers.out] * len(tasks))

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        flat = self.flat(x)  # (B, width)
        scaled = self.domain_gate(torch.cat([self.flat(x, "domain"), flat.detach()], dim=1)) * flat
        return self.logits(self.towers(scaled, self.flat(x, "gate")).unbind(1))
