"""What the models share that have cross layers and an MLP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from easyrec.batch import Embedded
from easyrec.config.model import TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.mlp import MLP


class Crossed(Model):
    """The MLP beside the cross layers (`structure: parallel`), on top of them (`stacked`), or left out (`cross`).

    A model defines `crosses`.

    Shape:
        output: {"logit": (B,)}, before the sigmoid
    """

    def __init__(self, config: Any, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        width = self.width()
        self.cross = self.crosses(width)
        self.deep = None if config.structure == "cross" else MLP(width, config)
        if self.deep is not None:
            width = self.deep.out + (width if config.structure == "parallel" else 0)
        self.head = Head(tasks, width)

    def crosses(self, width: int) -> nn.Module:
        """The cross layers, (B, width) to (B, width)."""
        raise TypeError(f"{type(self).__name__} must define crosses")

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        flat = self.flat(x)  # (B, width)
        crossed = self.cross(flat)  # (B, width)
        if self.deep is None:
            return self.head(crossed)
        if self.config.structure == "stacked":
            return self.head(self.deep(crossed))
        return self.head(torch.cat([crossed, self.deep(flat).to(crossed.dtype)], dim=1))
