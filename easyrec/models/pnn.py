"""`pnn`: an MLP over the embeddings and the products of their pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.mlp import MLP, MLPConfig
from easyrec.modules.pairs import InnerProducts, OuterProducts


class Config(MLPConfig, ModelConfig):
    """Config of `pnn`."""

    type: Literal["pnn"] = "pnn"
    products: Literal["inner", "outer", "both"] = "inner"
    """Dot products of all pairs of fields (IPNN), the sum of their outer products (OPNN), or both (PNN*)."""

    def uses(self) -> dict[str, GroupUse]:
        """Embeddings of equal dims of `deep`."""
        return {"deep": GroupUse(equal_dims=True)}


class PNN(Model):
    """Logit = w . MLP([e_1 .. e_F, x, p]) + b, with products p of the fields.

    `inner`: p = (<e_i, e_j>) of i < j; `outer`: the distinct numbers of ``sum_i sum_j e_i e_j'``; or both.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Qu et al., "Product-based Neural Networks", ICDM 2016, section III.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.products = nn.ModuleList()
        width = self.width()
        if config.products != "outer":
            width += self.num_pairs()
            self.products.append(InnerProducts(self.num_fields()))
        if config.products != "inner":
            width += self.dim() * (self.dim() + 1) // 2
            self.products.append(OuterProducts(self.dim()))
        self.deep = MLP(width, config)
        self.head = Head(tasks, self.deep.out)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        fields = self.fields(x)  # (B, F, D)
        products = [product(fields) for product in self.products]
        return self.head(self.deep(torch.cat([self.flat(x, fields=fields), *products], dim=1)))
