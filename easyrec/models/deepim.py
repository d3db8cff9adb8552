"""`deepim`: crosses of all orders up to a limit, and an MLP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.errors import ConfigError, Problem
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.activation import BatchNorm
from easyrec.modules.interaction_machine import InteractionMachine
from easyrec.modules.mlp import MLP, MLPConfig, Widths


class Config(MLPConfig, ModelConfig):
    """Config of `deepim`."""

    type: Literal["deepim"] = "deepim"
    order: int = Field(3, gt=0, le=10)
    """Highest order of the crosses."""
    interaction_norm: bool = False
    """Normalise the crosses over the batch."""
    hidden: Widths = [256, 128]
    """Widths of the deep part, input side first; empty: no deep part."""

    def uses(self) -> dict[str, GroupUse]:
        """Embeddings of equal dims of `deep`."""
        return {"deep": GroupUse(equal_dims=True)}


class DeepIM(Model):
    """Logit = w . [s_1 .. s_K] + u . MLP(fields, dense inputs) + b, with s_k the sum over all sets of k fields.

    Without the MLP the dense inputs stand beside the crosses.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Yu et al., "Deep Interaction Machine: A Simple but Effective Model for High-order Feature Interactions",
        CIKM 2020, section 3.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        if (count := self.num_fields()) < config.order:
            text = f"order {config.order} crosses {config.order} different fields, but 'deep' has {count}"
            raise ConfigError([Problem(text, "model.order")])
        width, dense = config.order * self.dim(), self.layouts["deep"].dense_width
        self.crosses = InteractionMachine(config.order)
        self.norm = BatchNorm(width) if config.interaction_norm else None
        self.deep = MLP(self.width(), config) if config.hidden else None
        self.head = Head(tasks, width + (self.deep.out if self.deep is not None else dense))

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        fields = self.fields(x)  # (B, F, D)
        crosses = self.crosses(fields)  # (B, K * D)
        if self.norm is not None:
            crosses = self.norm(crosses)
        beside = self.deep(self.flat(x, fields=fields)) if self.deep is not None else x.dense("deep")
        return self.head(torch.cat([crosses, beside.to(crosses.dtype)], dim=1))
