"""`ncf`: the product of user and item beside an MLP over both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.mlp import MLP, MLPConfig, linear


class Config(MLPConfig, ModelConfig):
    """Config of `ncf`."""

    type: Literal["ncf"] = "ncf"
    factors: int = Field(16, gt=0)
    """Width of the product."""

    def uses(self) -> dict[str, GroupUse]:
        """All of `user` and of `item`, with embeddings of their own in the product."""
        return {
            "user": GroupUse(about="user"),
            "item": GroupUse(about="item"),
            "user_factors": GroupUse(about="user", own=True, like="user"),
            "item_factors": GroupUse(about="item", own=True, like="item"),
        }


class NCF(Model):
    """Logit = ``w . [(P p_u) * (Q q_i), MLP([x_u, x_i])] + b``, NeuMF.

    p_u and q_i are embeddings of the product's own, of the same features unless the config names the groups
    `user_factors` and `item_factors`; P and Q bring them to the same width.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        He et al., "Neural Collaborative Filtering", WWW 2017, eq. (12).
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.p = linear(self.width("user_factors"), config.factors, bias=False)
        self.q = linear(self.width("item_factors"), config.factors, bias=False)
        self.deep = MLP(self.width("user") + self.width("item"), config)
        self.head = Head(tasks, config.factors + self.deep.out)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        product = self.p(self.flat(x, "user_factors")) * self.q(self.flat(x, "item_factors"))
        deep = self.deep(torch.cat([self.flat(x, "user"), self.flat(x, "item")], dim=1))
        return self.head(torch.cat([product, deep], dim=1))
