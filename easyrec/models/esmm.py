"""`esmm`: clicks and conversions of all rows, and through them conversions given a click."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config.model import TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._funnel import FunnelConfig, both
from easyrec.models._model import Model
from easyrec.models._towers import Logits, Towers


class Config(FunnelConfig):
    """Config of `esmm`."""

    type: Literal["esmm"] = "esmm"


class ESMM(Model):
    """p(both) = p(click) p(conversion), each of the two a tower over the shared embeddings.

    The conversion's own tower learns through p(both) over all rows, not from clicked rows alone.

    Shape:
        output: {click: (B,), conversion: (B,), both: (B,)} by the tasks' names, before the sigmoid

    Source:
        Ma et al., "Entire Space Multi-Task Model", SIGIR 2018, eq. (1) and (3).
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.roles = config.roles(tasks)
        learned = [task for task in tasks if task.name != self.roles.both]
        self.towers = Towers(learned, self.width(), config)
        self.logits = Logits(learned, self.towers.outs)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        logits = self.logits(self.towers(self.flat(x)))
        logits[self.roles.both] = both(logits[self.roles.click], logits[self.roles.conversion])
        return {task.name: logits[task.name] for task in self.tasks}
