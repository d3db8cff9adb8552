"""`multi_tower_din`: a tower per group, and beside them the interests that the groups' sequences show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from typing_extensions import Self

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.mlp import MLP, MLPConfig
from easyrec.modules.named import module_name
from feature_generator.config import fault


class Config(MLPConfig, ModelConfig):
    """Config of `multi_tower_din`."""

    type: Literal["multi_tower_din"] = "multi_tower_din"
    tower: MLPConfig = MLPConfig()
    """The MLP of each group."""
    towers: dict[str, MLPConfig] = Field({})
    """By group, the MLP of those that differ."""

    def uses(self) -> dict[str, GroupUse]:
        """Embeddings, dense inputs and sequences of every group."""
        return {name: GroupUse() for name in self.groups} if self.groups else {"deep": GroupUse(sequence=True)}

    def default_encoder(self) -> str | None:
        """Target attention."""
        return "din"

    @model_validator(mode="after")
    def _fits_its_groups(self) -> Self:
        groups = self.groups or {}
        if not any(group.sequences for group in groups.values()):
            text = "'multi_tower_din' needs a sequence in one of its groups\nwithout any take 'multi_tower'"
            raise fault(text, "groups")
        unknown = [name for name in self.towers if name not in groups]
        if unknown:
            raise fault(f"'{unknown[0]}' is no group\ngroups: {', '.join(groups)}", "towers", unknown[0])
        return self


class MultiTowerDIN(Model):
    """Logit = MLP([tower_1(features of group 1), ..., tower_G(features of group G), u_1 .. u_S]).

    A tower is an MLP over the embeddings and dense inputs of its group. The u are the encoded sequences of all groups,
    each with an encoder of its own, by default target attention.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        The model of this name in EasyRec; the encoder is Zhou et al., "Deep Interest Network", KDD 2018.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        towers = {
            name: MLP(layout.width + layout.dense_width, config.towers.get(name, config.tower))
            for name, layout in self.layouts.items()
            if layout.width + layout.dense_width
        }
        self.names = list(towers)
        self.towers = nn.ModuleDict({module_name(name): tower for name, tower in towers.items()})
        interests = sum(self.width(name) - layout.width - layout.dense_width for name, layout in self.layouts.items())
        self.deep = MLP(sum(tower.out for tower in towers.values()) + interests, config)
        self.head = Head(tasks, self.deep.out)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        parts = [tower(x.flat(name)) for name, tower in zip(self.names, self.towers.values(), strict=True)]
        parts += [self.interest(x, s, name) for name, layout in self.layouts.items() for s in layout.sequences]
        return self.head(self.deep(torch.cat(parts, dim=1)))
