"""`aoanet`: generalized interaction layers beside an MLP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.generalized_interaction import GeneralizedInteraction
from easyrec.modules.mlp import MLP, MLPConfig


class Config(MLPConfig, ModelConfig):
    """Config of `aoanet`."""

    type: Literal["aoanet"] = "aoanet"
    interaction_layers: int = Field(2, gt=0)
    """Number of interaction layers; layer l makes crosses of degree l + 1."""
    subspaces: int = Field(4, gt=0)
    """Vectors that each layer puts out."""

    def uses(self) -> dict[str, GroupUse]:
        """Embeddings of equal dims of `deep`."""
        return {"deep": GroupUse(equal_dims=True)}


class AOANet(Model):
    """Logit = w . [MLP(fields, dense inputs), layer_L(e, .. layer_1(e, e))] + b.

    Each interaction layer combines all products of the fields e and of what the layer before put out.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Lang et al., "Architecture and Operation Adaptive Network for Online Recommendations", KDD 2021, section 3.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        fields, dim, subspaces = self.num_fields(), self.dim(), config.subspaces
        befores = [fields] + [subspaces] * (config.interaction_layers - 1)
        self.interactions = nn.ModuleList(GeneralizedInteraction(fields, b, subspaces, dim) for b in befores)
        self.deep = MLP(self.width(), config)
        self.head = Head(tasks, self.deep.out + subspaces * dim)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        fields = crossed = self.fields(x)  # (B, F, D)
        deep = self.deep(self.flat(x, fields=fields))  # (B, hidden[-1])
        for layer in self.interactions:
            crossed = layer(fields, crossed)  # (B, subspaces, D)
        return self.head(torch.cat([deep, crossed.flatten(1)], dim=1))
