"""`multi_tower`: an MLP per group, and one over them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from typing_extensions import Self

from easyrec.batch import Embedded
from easyrec.config.model import ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.mlp import MLP, Layers, LayersConfig, MLPConfig
from easyrec.modules.named import module_name
from feature_generator.config import fault


class Config(MLPConfig, ModelConfig):
    """Config of `multi_tower`; the keys of an MLP are those of the last one."""

    type: Literal["multi_tower"] = "multi_tower"
    tower: Layers = LayersConfig(hidden=[256, 128])
    """Layers of each group's tower; a list is their `hidden`."""
    towers: dict[str, Layers] = Field({})
    """By group, the layers of those that differ."""

    @model_validator(mode="after")
    def _towers_are_of_groups(self) -> Self:
        known = self.uses()
        unknown = [name for name in self.towers if name not in known]
        if unknown:
            raise fault(f"'{unknown[0]}' is no group\ngroups: {', '.join(known)}", "towers", unknown[0])
        return self


class MultiTower(Model):
    """Logit = w . MLP([tower_1(x_1) .. tower_G(x_G)]) + b, with all inputs x_g of group g.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        The model of this name in EasyRec.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        towers = {name: MLP(self.width(name), config.towers.get(name, config.tower)) for name in self.layouts}
        self.towers = nn.ModuleDict({module_name(name): tower for name, tower in towers.items()})
        self.deep = MLP(sum(tower.out for tower in towers.values()), config)
        self.head = Head(tasks, self.deep.out)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        parts = [tower(self.flat(x, name)) for name, tower in zip(self.layouts, self.towers.values(), strict=True)]
        return self.head(self.deep(torch.cat(parts, dim=1)))
