"""`ppnet`: towers whose layers are scaled by gates from the ids of who and what a row is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Model
from easyrec.models._towers import TWO_TASKS, Logits
from easyrec.modules.personalized import GatedConfig, GatedTowers


class Config(GatedConfig, ModelConfig):
    """Config of `ppnet`."""

    example_tasks: ClassVar[Sequence[Mapping[str, Any]]] = TWO_TASKS

    type: Literal["ppnet"] = "ppnet"

    def uses(self) -> dict[str, GroupUse]:
        """What is judged in `deep`; ids that the gates read in `gate`."""
        return {"deep": GroupUse(), "gate": GroupUse(about="user")}


class PPNet(Model):
    """Logit of task t = w_t . tower_t(x; gates([ids, sg(x)])) + b_t, sg stopping the gradient.

    Shape:
        output: {task: (B,)}, before the sigmoid

    Source:
        Chang et al., "PEPNet: Parameter and Embedding Personalized Network for Infusing with Personalized Prior
        Information", KDD 2023, section 3.3.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.towers = GatedTowers(len(tasks), self.width(), self.width("gate"), config)
        self.logits = Logits(tasks, [self.towers.out] * len(tasks))

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        return self.logits(self.towers(self.flat(x), self.flat(x, "gate")).unbind(1))
