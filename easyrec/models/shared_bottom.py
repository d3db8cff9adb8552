"""`shared_bottom`: one MLP that all tasks share, and a tower for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config.model import TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Model
from easyrec.models._towers import Logits, Towers, TowersConfig
from easyrec.modules.mlp import MLP, Layers, LayersConfig


class Config(TowersConfig):
    """Config of `shared_bottom`."""

    type: Literal["shared_bottom"] = "shared_bottom"
    bottom: Layers = LayersConfig(hidden=[256, 128])
    """Layers that all tasks share; `[]` leaves each task its own tower over the shared embeddings."""


class SharedBottom(Model):
    """Logit of task t = MLP_t(bottom(x)).

    Shape:
        output: {task: (B,)}, before the sigmoid

    Source:
        Caruana, "Multitask Learning", Machine Learning 1997.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.bottom = MLP(self.width(), config.bottom)
        self.towers = Towers(tasks, self.bottom.out, config)
        self.logits = Logits(tasks, self.towers.outs)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        return self.logits(self.towers(self.bottom(self.flat(x))))
